/*
 * Playing a script: what its steps ask for; see play.h.
 *
 * Not here: what is checked afterwards (play_check.c).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "play.h"
#include "play_check.h"
#include "play_mail.h"

static const char *const names[] = {"a", "b", "c",	  "d",
				    "e", "f", "\xc3\xa9", "g"};

enum { NAMES = sizeof(names) / sizeof(names[0]) };

void play_show(const struct play *play, const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "%3zu  ", play->step);
	va_start(args, format);
	/* It is initialised one line above, which the analyzer overlooks. */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

void play_fail(const struct play *play, const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "step %zu: ", play->step);
	va_start(args, format);
	/* It is initialised one line above, which the analyzer overlooks. */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	abort();
}

/* ------------------------------------------------------------- operands */

static struct model_box *box_pick(struct play *play, uint8_t operand)
{
	return &play->model.boxes[operand % play->model.count];
}

/* A parent, NULL for the top. */
static struct model_box *parent_pick(struct play *play, uint8_t operand)
{
	size_t i = operand % (play->model.count + 1);

	return i == play->model.count ? NULL : &play->model.boxes[i];
}

/* ---------------------------------------------------------------- steps */

/* c with its upper half set: exactly where b is now. */
static void step_rename(struct play *play, const struct script_step *step)
{
	struct model_rename *rename = &play->renames[play->rename_count];
	const struct model_box *box = box_pick(play, step->a);
	char made[MODEL_PATH_SIZE];

	if (play->rename_count == PLAY_PENDING_MAX)
		return;
	memset(rename, 0, sizeof(*rename));
	memcpy(rename->source, box->path, strlen(box->path));
	if (step->c >= 0x80) {
		const struct model_box *place = box_pick(play, step->b);

		memcpy(rename->target, place->path, strlen(place->path));
	} else {
		const struct model_box *parent = parent_pick(play, step->b);
		char deeper[MODEL_PATH_SIZE];

		/* Some targets need parents that are not there yet. */
		MBJ_ASSERT(model_path(deeper,
				      step->c >= 0x60
					      ? names[step->c / 8 % NAMES]
					      : "",
				      names[step->c % NAMES]));
		if (!model_path(made, parent != NULL ? parent->path : "",
				deeper))
			return;
		memcpy(rename->target, made, strlen(made));
	}
	play->rename_count++;
	play_say(play, "rename  %s -> %s", rename->source, rename->target);
}

static struct mbj_id id_new(struct play *play)
{
	struct mbj_id id = {{0xc0}};

	id.b[14] = (uint8_t)(++play->ids >> 8);
	id.b[15] = (uint8_t)play->ids;
	return id;
}

static bool is_pending(const struct play *play, struct mbj_id id)
{
	for (size_t i = 0; i < play->place_count; i++)
		if (mbj_id_equal(play->places[i].id, id))
			return true;
	return false;
}

/* CREATE, MOVE, DESTROY: one change of a Mailbox/set. */
static void step_place(struct play *play, const struct script_step *step,
		       enum model_kind kind)
{
	struct model_place *place = &play->places[play->place_count];
	const struct model_box *parent = parent_pick(play, step->b);
	const struct model_box *box = box_pick(play, step->a);
	size_t made = play->place_count;

	if (play->place_count == PLAY_PENDING_MAX ||
	    (kind != MODEL_NEW && is_pending(play, box->id)))
		return;
	memset(place, 0, sizeof(*place));
	place->kind = kind;
	place->id = kind == MODEL_NEW ? id_new(play) : box->id;
	place->parent = parent != NULL ? parent->id : MBJ_ID_ROOT;
	/* Some parents are made by the same request. */
	while (step->c >= 0xc0 && made-- > 0)
		if (play->places[made].kind == MODEL_NEW)
			place->parent = play->places[made].id;
	memcpy(place->name, names[step->c % NAMES],
	       strlen(names[step->c % NAMES]));
	play->place_count++;
	if (kind == MODEL_GONE)
		play_say(play, "destroy %s", box->path);
	else
		play_say(play, "%s %s -> %s in %s%s",
			 kind == MODEL_NEW ? "create" : "move  ",
			 kind == MODEL_NEW ? "new" : box->path, place->name,
			 parent != NULL ? parent->path : "the top",
			 step->c >= 0xc0 ? " or a new one" : "");
}

/* --------------------------------------------------------------- edits */

enum mbj_rc play_submit(struct play *play, struct mbj_edit *edit,
			bool *ret_is_lost, struct mbj_outcome *outcome,
			struct mbj_error *err)
{
	enum mbj_rc rc;

	edit->account = mbj_bytes_str(PLAY_ACCOUNT);
	*ret_is_lost = false;
	rc = play->site->submit(play, edit, ret_is_lost, outcome, err);
	play_check(play, rc == MBJ_OK || err->refusal != MBJ_REFUSAL_NONE,
		   "an edit failed: %s", err->message);
	play_say(play, "%s",
		 rc < 0		  ? err->message
		 : *ret_is_lost	  ? "submit, lost in a crash"
		 : outcome->lsn.v ? "submit, done"
				  : "submit, nothing to do");
	return rc;
}

/* What INBOX handed over; ids are known by now. */
static void inbox_take(struct play *play)
{
	struct model *model = &play->model;

	for (size_t i = 0; i < play->rename_count; i++)
		if (strcmp(play->renames[i].source, "INBOX") == 0)
			model_mail_take(
				model, model_at(model, "INBOX")->id,
				model_at(model, play->renames[i].target)->id);
}

static void renames_submit(struct play *play)
{
	struct mbj_rename renames[PLAY_PENDING_MAX];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct model after;
	enum model_verdict verdict;
	struct mbj_error err;
	bool is_lost;
	enum mbj_rc rc;

	model_copy(&after, &play->model);
	verdict = model_rename(&after, play->renames, play->rename_count);
	if (verdict == MODEL_FULL || play->lsn + 1 > PLAY_LSN_MAX ||
	    after.mail.count * 2 > MODEL_MESSAGES_MAX)
		return;
	for (size_t i = 0; i < play->rename_count; i++)
		renames[i] = (struct mbj_rename){
			mbj_bytes_str(play->renames[i].source),
			mbj_bytes_str(play->renames[i].target)};
	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = renames;
	edit.rename_count = play->rename_count;
	rc = play_submit(play, &edit, &is_lost, &outcome, &err);
	play_check(play, (rc == MBJ_OK) == (verdict == MODEL_DONE),
		   "the library says %s, the model %s",
		   rc == MBJ_OK ? "yes" : err.message,
		   verdict == MODEL_DONE ? "yes" : "no");
	if (rc == MBJ_OK && !is_lost) {
		play_primary_check(play, &after, &outcome);
		inbox_take(play);
		play_mail_check(play);
	}
	mbj_outcome_done(&outcome);
}

static struct mbj_change change_of(const struct model_place *place)
{
	static const enum mbj_change_kind kinds[] = {
		[MODEL_NEW] = MBJ_CHANGE_CREATE,
		[MODEL_MOVE] = MBJ_CHANGE_UPDATE,
		[MODEL_GONE] = MBJ_CHANGE_DESTROY,
	};
	struct mbj_change change = {.kind = kinds[place->kind],
				    .id = place->id};

	if (place->kind != MODEL_GONE) {
		change.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		change.parent = place->parent;
		change.name = mbj_bytes_str(place->name);
	}
	return change;
}

/* True where the whole request leads to a tree that the library may have. */
static bool is_all_possible(const struct play *play, bool is_emptying)
{
	struct model whole;

	model_copy(&whole, &play->model);
	for (size_t i = 0; i < play->place_count; i++) {
		const struct model_box *box =
			model_of(&whole, play->places[i].id);

		if (box != NULL && strcmp(box->path, "INBOX") == 0)
			return false;
		if (!is_emptying && play->places[i].kind == MODEL_GONE &&
		    model_mail_count(&whole, play->places[i].id) > 0)
			return false;
	}
	return model_set(&whole, play->places, play->place_count) == MODEL_DONE;
}

/* One of the changes was carried out. */
static void change_done(const struct play *play,
			const struct model_place *place, bool is_emptying)
{
	play_check(play,
		   is_emptying || place->kind != MODEL_GONE ||
			   model_mail_count(&play->model, place->id) == 0,
		   "a mailbox went with messages that were to stay");
}

static void changes_submit(struct play *play, bool is_emptying)
{
	struct mbj_change changes[PLAY_PENDING_MAX];
	struct model_place done[PLAY_PENDING_MAX];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct model after;
	enum model_verdict verdict;
	struct mbj_error err;
	const char *reason = "";
	size_t count = 0;
	bool is_lost;

	if (play->model.count + play->place_count > MODEL_BOXES_MAX ||
	    play->lsn + 1 > PLAY_LSN_MAX)
		return;
	for (size_t i = 0; i < play->place_count; i++)
		changes[i] = change_of(&play->places[i]);
	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes;
	edit.change_count = play->place_count;
	edit.is_emptying = is_emptying;
	if (play_submit(play, &edit, &is_lost, &outcome, &err) == MBJ_OK &&
	    !is_lost) {
		for (size_t i = 0; i < play->place_count; i++)
			if (outcome.results[i].refusal == MBJ_REFUSAL_NONE) {
				change_done(play, &play->places[i],
					    is_emptying);
				done[count++] = play->places[i];
			} else {
				reason = mbj_refusal_type(
					outcome.results[i].refusal);
			}
		play_check(play,
			   count == play->place_count ||
				   !is_all_possible(play, is_emptying),
			   "%zu of %zu changes refused without need: %s",
			   play->place_count - count, play->place_count,
			   reason);
		model_copy(&after, &play->model);
		verdict = model_set(&after, done, count);
		play_check(play, verdict != MODEL_REFUSED,
			   "what was accepted makes no tree");
		model_mail_leave(&after);
		if (verdict == MODEL_DONE)
			play_primary_check(play, &after, &outcome);
	}
	mbj_outcome_done(&outcome);
}

/* The whole wanted tree as a list: those that are, with their new places. */
static void reconcile_submit(struct play *play, bool is_emptying)
{
	struct mbj_change changes[MODEL_BOXES_MAX];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct model after;
	struct mbj_error err;
	bool is_lost;
	enum mbj_rc rc;

	if (!is_all_possible(play, is_emptying) || play->lsn + 1 > PLAY_LSN_MAX)
		return;
	model_copy(&after, &play->model);
	if (model_set(&after, play->places, play->place_count) != MODEL_DONE)
		return;
	for (size_t i = 0; i < after.count; i++) {
		const char *path = after.boxes[i].path;
		const struct model_box *above = model_above(&after, path);

		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = after.boxes[i].id,
			.parent = above != NULL ? above->id : MBJ_ID_ROOT,
			.name = mbj_bytes_str(model_name(path)),
		};
	}
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.changes = changes;
	edit.change_count = after.count;
	edit.is_emptying = is_emptying;
	model_mail_leave(&after);
	rc = play_submit(play, &edit, &is_lost, &outcome, &err);
	play_check(play, rc == MBJ_OK, "a possible tree is refused: %s",
		   err.message);
	if (rc == MBJ_OK && !is_lost)
		play_primary_check(play, &after, &outcome);
	mbj_outcome_done(&outcome);
}

static void step_play(struct play *play, const struct script_step *step)
{
	bool is_emptying = step->a < 0x80;

	switch ((enum script_verb)(step->verb % SCRIPT_VERBS)) {
	case SCRIPT_RENAME:
		step_rename(play, step);
		break;
	case SCRIPT_CREATE:
		step_place(play, step, MODEL_NEW);
		break;
	case SCRIPT_MOVE:
		step_place(play, step, MODEL_MOVE);
		break;
	case SCRIPT_DESTROY:
		step_place(play, step, MODEL_GONE);
		break;
	case SCRIPT_SUBMIT:
		if (play->rename_count > 0)
			renames_submit(play);
		if (play->place_count > 0)
			changes_submit(play, is_emptying);
		if (play->mail_count > 0)
			play_mail_submit(play);
		play->rename_count = 0;
		play->place_count = 0;
		play->mail_count = 0;
		break;
	case SCRIPT_RECONCILE:
		reconcile_submit(play, is_emptying);
		play->place_count = 0;
		break;
	case SCRIPT_DELIVER:
		play->site->deliver(play, step);
		play_replica_check(play, 1 + step->a % PLAY_REPLICAS);
		break;
	case SCRIPT_CRASH:
		play->site->crash(play, step);
		break;
	case SCRIPT_APPEND:
		play_mail_step(play, step, MODEL_APPEND);
		break;
	case SCRIPT_FLAGS:
		play_mail_step(play, step, MODEL_FLAGS);
		break;
	case SCRIPT_EXPUNGE:
		play_mail_step(play, step, MODEL_EXPUNGE);
		break;
	case SCRIPT_COPY:
	case SCRIPT_VERBS:
	default:
		play_mail_step(play, step, MODEL_COPY);
		break;
	}
}

void play_script(struct play *play, const uint8_t *data, size_t size)
{
	size_t n = size / SCRIPT_STEP_SIZE;

	play->rename_count = 0;
	play->place_count = 0;
	play->ids = 0;
	play->seen_count = 0;
	play_mail_begin(play);
	play_begin_check(play);
	for (size_t i = 0; i < n && i < SCRIPT_STEPS_MAX; i++) {
		struct script_step step;

		memcpy(&step, data + i * SCRIPT_STEP_SIZE, sizeof(step));
		play->step = i;
		step_play(play, &step);
	}
	step_play(play, &(struct script_step){.verb = SCRIPT_SUBMIT});
	play_end_check(play);
}

size_t play_first_tree(struct mbj_change changes[16])
{
	static const struct {
		uint8_t above; /* 1 + index, 0: the top */
		const char *name;
	} tree[] = {{0, "INBOX"}, {0, "a"}, {0, "b"}, {2, "c"},
		    {2, "a"},	  {4, "d"}, {3, "a"}};
	size_t n = sizeof(tree) / sizeof(tree[0]);

	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = {{0xb0, (uint8_t)(i + 1)}},
			.name = mbj_bytes_str(tree[i].name),
		};
		if (tree[i].above > 0)
			changes[i].parent = changes[tree[i].above - 1].id;
	}
	return n;
}
