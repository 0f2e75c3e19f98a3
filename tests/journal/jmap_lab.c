/*
 * See jmap_lab.h.
 */
#include "jmap_lab.h"

static int lab_random(void *ctx, void *p, size_t n)
{
	struct lab_sys *lab = ctx;
	uint8_t *bytes = p;

	memset(p, 0, n);
	lab->counter++;
	for (size_t i = 0; i < 4 && i < n; i++)
		bytes[n - 1 - i] = (uint8_t)(lab->counter >> 8 * i);
	return 0;
}

void lab_sys_init(struct lab_sys *lab)
{
	*lab = (struct lab_sys){.sys = *mbj_sys_posix()};
	lab->sys.ctx = lab;
	lab->sys.random = lab_random;
}

struct mbj_id lab_id(uint32_t number)
{
	struct mbj_id id = MBJ_ID_ROOT;

	mbj_store_be64(id.b + 8, number);
	return id;
}

enum mbj_rc lab_list_bytes(struct mbj_bytes json, enum mbj_jmap_mode mode,
			   struct mbj_jmap_map *map,
			   struct mbj_jmap_list **ret_list,
			   struct mbj_error *err)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;

	options.mode = mode;
	options.sys = mbj_sys_posix();
	return mbj_jmap_list_parse(json, &options, map, ret_list, err);
}

enum mbj_rc lab_list(const char *json, enum mbj_jmap_mode mode,
		     struct mbj_jmap_map *map, const struct mbj_tree *base,
		     struct mbj_jmap_list **ret_list, struct mbj_error *err)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;

	options.mode = mode;
	options.sys = mbj_sys_posix();
	options.base = base;
	return mbj_jmap_list_parse(mbj_bytes_str(json), &options, map, ret_list,
				   err);
}

void lab_plan_init(struct lab_plan *lab, const char *before, const char *after)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	const struct mbj_tree *trees[2];
	struct mbj_error err;

	*lab = (struct lab_plan){.map = NULL};
	lab_ok(mbj_jmap_map_new(mbj_sys_posix(), &lab->map, &err), err);
	lab_ok(lab_list(before, MBJ_JMAP_PLAN, lab->map, NULL, &lab->lists[0],
			&err),
	       err);
	trees[0] = mbj_jmap_list_tree(lab->lists[0]);
	lab_ok(lab_list(after, MBJ_JMAP_PLAN, lab->map, trees[0],
			&lab->lists[1], &err),
	       err);
	trees[1] = mbj_jmap_list_tree(lab->lists[1]);
	lab_ok(mbj_diff_make(trees[0], trees[1], &lab->diff, &err), err);
	lab_ok(mbj_plan_make(&lab->diff, &options, &lab->plan, &err), err);
	lab_ok(mbj_jmap_plan_make(trees[0], trees[1], &lab->diff, &lab->plan,
				  lab->map, '/', &lab->shown, &err),
	       err);
}

void lab_plan_done(struct lab_plan *lab)
{
	mbj_jmap_plan_free(&lab->shown);
	mbj_plan_done(&lab->plan);
	mbj_diff_done(&lab->diff);
	mbj_jmap_list_free(&lab->lists[0]);
	mbj_jmap_list_free(&lab->lists[1]);
	mbj_jmap_map_free(&lab->map);
}

void lab_outcome_init(struct mbj_outcome *outcome, const struct mbj_op *ops,
		      size_t count)
{
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash chain = {{0}};
	struct mbj_error err;
	uint32_t index;

	*outcome = (struct mbj_outcome){.lsn = {7},
					.old_state = {6},
					.new_state = {7},
					.account = lab_id(0xacc)};
	mbj_buf_init(&outcome->record, MBJ_GROUP_MAX);
	lab_ok(mbj_sha256_new(&sha, &err), err);
	mbj_group_writer_init(&writer);
	/* 2024-02-29T12:34:56.789012Z */
	mbj_group_writer_begin(&writer, (struct mbj_lsn){7},
			       (struct mbj_epoch){2}, INT64_C(1709210096789012),
			       MBJ_ORIGIN_LIVE, MBJ_ID_ROOT);
	lab_ok(mbj_group_writer_account(&writer, outcome->account,
					(struct mbj_lsn){6}, &index, &err),
	       err);
	for (size_t i = 0; i < count; i++)
		mbj_group_writer_op(&writer, &ops[i]);
	lab_ok(mbj_group_writer_finish(&writer, sha, &chain, &outcome->record,
				       &err),
	       err);
	mbj_group_writer_done(&writer);
	mbj_sha256_free(&sha);
}

const char *lab_text(struct mbj_buf *buf)
{
	struct mbj_error err;

	mbj_buf_put_u8(buf, 0);
	lab_ok(mbj_buf_ok(buf, &err), err);
	buf->n--;
	return (const char *)buf->p;
}

void lab_same(const char *text, const char *wanted)
{
	ck_assert_msg(strcmp(text, wanted) == 0,
		      "got:\n%.3000s\nwanted:\n%.3000s", text, wanted);
}

void lab_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL,
		      "\"%.3000s\" is not in:\n%.3000s", part, text);
}
