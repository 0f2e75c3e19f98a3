/*
 * dovecot-acl.
 */
#include <string.h>

#include <mbj/maildir.h>

#include "cases.h"

enum { TEXT_MAX = 4096 };

/* A line of the file and what IMAP says, both ways. */
static const struct {
	const char *line;
	const char *name;
	const char *rights;
} acl_lines[] = {
	{"user=bob lrs\n", "bob", "lrs"},
	{"user=a@b.c lrswtipekxa\n", "a@b.c", "lrswtipekxa"},
	{"group=staff lr\n", "$staff", "lr"},
	{"group-override=staff k\n", "!$staff", "k"},
	{"anyone l\n", "anyone", "l"},
	{"authenticated lr\n", "authenticated", "lr"},
	{"owner a\n", "owner", "a"},
	{"-user=bob w\n", "-bob", "w"},
	{"-anyone w\n", "-anyone", "w"},
	{"-group=staff w\n", "-$staff", "w"},
	{"\"user=bob the builder\" lr\n", "bob the builder", "lr"},
	{"\"-group=the \\\"old\\\" \\\\guard\" lr\n", "-$the \"old\" \\guard",
	 "lr"},
	{"user=\xc3\xa9 l\n", "\xc3\xa9", "l"},
	{"user=\"quoted\" l\n", "\"quoted\"", "l"},
};

/* Lines whose words IMAP has others for; no name: no entry. */
static const struct {
	const char *line;
	const char *name;
	const char *rights;
	bool is_cut;
} acl_read_lines[] = {
	/* No rights: what less specific lines give is taken away. */
	{"user=eve", "-eve", "lrswtipekxa", false},
	{"user=eve \t", "-eve", "lrswtipekxa", false},
	{"user=eve :own", "-eve", "lrswtipekxa", true},
	{"group-override=off", "-!$off", "lrswtipekxa", false},
	{"owner", "-owner", "lrswtipekxa", false},
	/* Nothing is less specific, or nothing is taken away. */
	{"anyone", "anyone", "", false},
	{"-user=eve", "-eve", "", false},
	/* Names beside letters, and instead of them. */
	{"user=bob l :own", "bob", "l", true},
	{"-user=bob lr :own", "-bob", "lr", true},
	{"-user=bob l :read,own\tadmin", "-bob", "lra", true},
	{"user=bob :lookup post  write-deleted", "bob", "ltp", false},
	{"user=bob l:", "bob", "l", false},
	{"user=bob rllr", "bob", "lr", false},
};

/* Goal: nothing that is read gives more than the line does. */
START_TEST(read_only)
{
	struct mbj_bytes rest = mbj_bytes_str(acl_read_lines[_i].line);
	struct mbj_maildir_acl line;
	struct mbj_error err;

	mbj_buf_init(&line.name, TEXT_MAX);
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err), MBJ_OK);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&line.name),
				  mbj_bytes_str(acl_read_lines[_i].name)));
	ck_assert_str_eq(line.rights, acl_read_lines[_i].rights);
	ck_assert_int_eq(line.is_cut, acl_read_lines[_i].is_cut);
	mbj_buf_done(&line.name);
}
END_TEST

/* Goal: what is written is what was read. */
START_TEST(both_ways)
{
	struct mbj_bytes rest = mbj_bytes_str(acl_lines[_i].line);
	struct mbj_maildir_acl line;
	struct mbj_buf again;
	struct mbj_error err;
	bool is_lost;

	mbj_buf_init(&line.name, TEXT_MAX);
	mbj_buf_init(&again, TEXT_MAX);
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err), MBJ_OK);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&line.name),
				  mbj_bytes_str(acl_lines[_i].name)));
	ck_assert_str_eq(line.rights, acl_lines[_i].rights);
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err),
			 MBJ_ENOTFOUND);
	ck_assert(mbj_maildir_acl_put(&again, mbj_bytes_str(acl_lines[_i].name),
				      mbj_bytes_str(acl_lines[_i].rights),
				      &is_lost));
	ck_assert(!is_lost);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&again),
				  mbj_bytes_str(acl_lines[_i].line)));
	mbj_buf_done(&line.name);
	mbj_buf_done(&again);
}
END_TEST

/* Lines that are none, or that IMAP has no words for. */
static const char *const bad_lines[] = {
	"bob lr",	    "user= lr",	      "user=anyone lr",
	"user=$staff lr",   "user=-bob lr",   "user=#x lr",
	"user=!$staff lr",  "-user=#x lr",    "-user=bob lrc",
	"user=bob lrc",	    "user=bob l 9",   "user=bob l own",
	"\"user=a b lr",    "\"user=a b\"lr", "\"user=a\\",
	"-\"user=a b\" lr", "nobody=x lr",
};

/*
 * Goal: a line that is none is told of, with its words; comments, other spaces
 * and a last line without an end are no fault.
 */
START_TEST(lines)
{
	struct mbj_maildir_acl line;
	struct mbj_bytes rest;
	struct mbj_error err;
	struct mbj_buf text;

	mbj_buf_init(&line.name, TEXT_MAX);
	mbj_buf_init(&text, TEXT_MAX);
	mbj_buf_put_str(&text, "# a comment\n\n");
	mbj_buf_put_str(&text, bad_lines[_i]);
	mbj_buf_put_str(&text, "\nanonymous \t lr \t");
	rest = mbj_buf_view(&text);
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err),
			 MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "user") != NULL
				      ? strstr(err.message, "user")
				      : strstr(err.message, bad_lines[_i]));
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err), MBJ_OK);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&line.name),
				  mbj_bytes_str("anyone")));
	ck_assert_str_eq(line.rights, "lr");
	ck_assert_int_eq(mbj_maildir_acl_next(&rest, &line, &err),
			 MBJ_ENOTFOUND);
	mbj_buf_done(&line.name);
	mbj_buf_done(&text);
}
END_TEST

/* Entries that the file cannot hold, or not whole. */
static const struct {
	struct mbj_bytes name;
	const char *rights;
	bool is_lost;
} cut_entries[] = {
	{{(const uint8_t *)"bob", 3}, "l09r", false},
	{{(const uint8_t *)"ann", 3}, "0", false},
	{{(const uint8_t *)"a\nuser=eve", 10}, "a", true},
	{{(const uint8_t *)"", 1}, "a", true},
	{{(const uint8_t *)"", 0}, "a", true},
	{{(const uint8_t *)"#x", 2}, "a", true},
	{{(const uint8_t *)"-#x", 3}, "a", true},
	{{(const uint8_t *)"-", 1}, "a", true},
	{{(const uint8_t *)"--bob", 5}, "a", true},
	{{(const uint8_t *)"-#x", 3}, "0", false},
};

/* Goal: what has no place in the file is told of, the rest is written. */
START_TEST(cut)
{
	size_t count = sizeof(cut_entries) / sizeof(cut_entries[0]);
	struct mbj_buf text;
	bool is_lost;

	mbj_buf_init(&text, TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		ck_assert(!mbj_maildir_acl_put(&text, cut_entries[i].name,
					       mbj_bytes_str(
						       cut_entries[i].rights),
					       &is_lost));
		ck_assert_msg(is_lost == cut_entries[i].is_lost, "%zu", i);
	}
	ck_assert(mbj_bytes_equal(mbj_buf_view(&text),
				  mbj_bytes_str("user=bob lr\n")));
	mbj_buf_done(&text);
}
END_TEST

TCase *test_acl_case(void)
{
	TCase *tc = tcase_create("acl");

	tcase_add_loop_test(tc, both_ways, 0,
			    sizeof(acl_lines) / sizeof(acl_lines[0]));
	tcase_add_loop_test(tc, read_only, 0,
			    sizeof(acl_read_lines) / sizeof(acl_read_lines[0]));
	tcase_add_loop_test(tc, lines, 0,
			    sizeof(bad_lines) / sizeof(bad_lines[0]));
	tcase_add_test(tc, cut);
	return tc;
}
