/*
 * Errors: their fields, their words, and what happens to long ones.
 */
#include <errno.h>
#include <string.h>

#include <mbj/error.h>

#include "cases.h"

/*
 * Goal: setting fills code and message and clears all else.  Method: set over
 * an error whose every field is in use.
 */
START_TEST(error_sets)
{
	struct mbj_error err;

	(void)mbj_error_refuse(&err, MBJ_REFUSAL_HAS_CHILD, "id", "abc", "old");
	mbj_error_at(&err, "journal/1", 7, 9);
	ck_assert_int_eq(mbj_error_set(&err, MBJ_ECORRUPT, "group %d of %s", 4,
				       "x"),
			 MBJ_ECORRUPT);
	ck_assert_int_eq(err.rc, MBJ_ECORRUPT);
	ck_assert_str_eq(err.message, "group 4 of x");
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_NONE);
	ck_assert_ptr_null(err.subject_kind);
	ck_assert_str_eq(err.subject, "");
	ck_assert_str_eq(err.file, "");
	ck_assert_uint_eq(err.offset, 0);
	ck_assert_uint_eq(err.lsn, 0);
}
END_TEST

/*
 * Goal: whoever wants no words still gets the code.  Method: every function
 * without an error to fill.
 */
START_TEST(error_may_be_null)
{
	ck_assert_int_eq(mbj_error_set(NULL, MBJ_EBUSY, "x"), MBJ_EBUSY);
	ck_assert_int_eq(mbj_error_refuse(NULL, MBJ_REFUSAL_FORBIDDEN, NULL,
					  NULL, "x"),
			 MBJ_EINVALID);
	ck_assert_int_eq(mbj_error_errno(NULL, ENOSPC, "x", NULL), MBJ_ENOSPC);
	ck_assert_int_eq(mbj_error_prefix(NULL, MBJ_EIO, "x"), MBJ_EIO);
	ck_assert_int_eq(mbj_error_nomem(NULL), MBJ_ENOMEM);
	mbj_error_at(NULL, "x", 1, 1);
}
END_TEST

/*
 * Goal: a refusal says which, and about what.  Method: one with a subject,
 * one without.
 */
START_TEST(error_refuses)
{
	struct mbj_error err;

	ck_assert_int_eq(mbj_error_refuse(&err, MBJ_REFUSAL_HAS_CHILD, "path",
					  "Archive", "%s has %d children",
					  "Archive", 2),
			 MBJ_EINVALID);
	ck_assert_int_eq(err.rc, MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_HAS_CHILD);
	ck_assert_str_eq(err.subject_kind, "path");
	ck_assert_str_eq(err.subject, "Archive");
	ck_assert_str_eq(err.message, "Archive has 2 children");
	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_JSON, NULL, NULL, "no");
	ck_assert_ptr_null(err.subject_kind);
	ck_assert_str_eq(err.subject, "");
}
END_TEST

/*
 * Goal: a subject is kept raw, and cut with an ellipsis between characters.
 * Method: two-byte characters behind zero and one byte, at the maximum and
 * over it.
 */
START_TEST(error_cuts_subject)
{
	char text[400] = "x";
	struct mbj_error err;
	size_t shift = (size_t)_i;

	for (size_t i = shift; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[shift + 254] = '\0';
	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_FOUND, "name", text, "x");
	ck_assert_str_eq(err.subject, text);
	memcpy(text + shift + 254, "\xc3\xa4", 3);
	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_FOUND, "name", text, "x");
	ck_assert_uint_eq(strlen(err.subject), 252 - (shift + 252) % 2 + 3);
	ck_assert_str_eq(err.subject + strlen(err.subject) - 3, "\xe2\x80\xa6");
	ck_assert_int_eq(memcmp(err.subject, text, strlen(err.subject) - 3), 0);
	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_FOUND, "name", "\x1b",
			       "x");
	ck_assert_str_eq(err.subject, "\x1b");
}
END_TEST

/*
 * Goal: a message is one escaped line that never overflows.  Method: quote an
 * escape sequence, then ever longer text.
 */
START_TEST(error_escapes_message)
{
	char text[3000];
	struct mbj_error err;

	(void)mbj_error_set(&err, MBJ_EINVALID, "no name: %s", "a\n\x1b[2J");
	ck_assert_str_eq(err.message, "no name: a\\n\\x1b[2J");
	memset(text, 'y', sizeof(text));
	for (size_t n = 500; n < 1100; n++) {
		text[n] = '\0';
		(void)mbj_error_set(&err, MBJ_EINVALID, "%s", text);
		text[n] = 'y';
		if (n < MBJ_ERROR_MESSAGE_MAX) {
			ck_assert_uint_eq(strlen(err.message), n);
			continue;
		}
		ck_assert_uint_eq(strlen(err.message),
				  MBJ_ERROR_MESSAGE_MAX - 1);
		ck_assert_str_eq(err.message + MBJ_ERROR_MESSAGE_MAX - 4,
				 "\xe2\x80\xa6");
	}
}
END_TEST

/*
 * Goal: an error may be made from its own words.  Method: pass its message
 * and its subject to the functions that overwrite them.
 */
START_TEST(error_may_alias)
{
	struct mbj_error err;

	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_FOUND, "id", "abc", "no");
	(void)mbj_error_refuse(&err, MBJ_REFUSAL_FORBIDDEN, "id", err.subject,
			       "say %s to %s", err.message, err.subject);
	ck_assert_str_eq(err.message, "say no to abc");
	ck_assert_str_eq(err.subject, "abc");
	(void)mbj_error_set(&err, MBJ_EIO, "%s!", err.message);
	ck_assert_str_eq(err.message, "say no to abc!");
	(void)mbj_error_errno(&err, EIO, "cannot read", "a/b");
	(void)mbj_error_errno(&err, EIO, "cannot write", err.file);
	ck_assert_str_eq(err.file, "a/b");
	mbj_error_at(&err, err.file, 3, 0);
	ck_assert_str_eq(err.file, "a/b");
}
END_TEST

/*
 * Goal: the code follows errno as the header says.  Method: a table.
 */
START_TEST(error_maps_errno)
{
	static const struct {
		int errnum;
		enum mbj_rc rc;
	} rows[] = {
		{ENOSPC, MBJ_ENOSPC},  {EDQUOT, MBJ_ENOSPC},
		{ENOMEM, MBJ_ENOMEM},  {ENOENT, MBJ_ENOTFOUND},
		{EEXIST, MBJ_EEXISTS}, {EIO, MBJ_EIO},
		{EACCES, MBJ_EIO},     {EROFS, MBJ_EIO},
		{99999, MBJ_EIO},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mbj_error err;

		ck_assert_int_eq(mbj_error_errno(&err, rows[i].errnum,
						 "cannot open", "a/b"),
				 rows[i].rc);
		ck_assert_int_eq(err.rc, rows[i].rc);
		ck_assert_str_eq(err.file, "a/b");
		ck_assert_ptr_eq(strstr(err.message, "cannot open a/b: "),
				 err.message);
	}
}
END_TEST

/*
 * Goal: a long path does not push the reason out of the message.  Method: the
 * longest path of ours, and look for its last component and the reason.
 */
START_TEST(error_long_path)
{
	char path[1024];
	struct mbj_error err;

	memset(path, 'd', sizeof(path));
	memcpy(path + sizeof(path) - 6, "/last", 6);
	(void)mbj_error_errno(&err, ENOSPC, "cannot write", path);
	ck_assert_ptr_nonnull(strstr(err.message, "/last: "));
	ck_assert_ptr_nonnull(strstr(err.message, strerror(ENOSPC)));
	ck_assert_uint_eq(strlen(err.file), MBJ_ERROR_FILE_MAX - 1);
	ck_assert_ptr_nonnull(strstr(err.file, "/last"));
	ck_assert_mem_eq(err.file, "\xe2\x80\xa6", 3);
	mbj_error_at(&err, path, 12, 34);
	ck_assert_ptr_nonnull(strstr(err.file, "/last"));
	ck_assert_uint_eq(err.offset, 12);
	ck_assert_uint_eq(err.lsn, 34);
}
END_TEST

/*
 * Goal: a prefix goes in front and keeps all else.  Method: a short one, and
 * prefixes until the message is full.
 */
START_TEST(error_prefixes)
{
	struct mbj_error err;

	(void)mbj_error_refuse(&err, MBJ_REFUSAL_NOT_FOUND, "id", "abc",
			       "gone\n");
	ck_assert_int_eq(mbj_error_prefix(&err, MBJ_EIO, "account %d", 7),
			 MBJ_EINVALID);
	ck_assert_str_eq(err.message, "account 7: gone\\n");
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_NOT_FOUND);
	ck_assert_str_eq(err.subject, "abc");
	for (int i = 0; i < 100; i++)
		(void)mbj_error_prefix(&err, MBJ_EIO, "\xc3\xa4\x1b");
	ck_assert_uint_lt(strlen(err.message), MBJ_ERROR_MESSAGE_MAX);
	ck_assert_ptr_eq(strstr(err.message, "\xc3\xa4\\x1b: "), err.message);
	ck_assert_str_eq(err.message + strlen(err.message) - 3, "\xe2\x80\xa6");
}
END_TEST

/*
 * Goal: every code and refusal has its words.  Method: some of each by name,
 * and numbers that are none.
 */
START_TEST(error_words)
{
	static const enum mbj_rc codes[] = {
#define X(name, value, text) MBJ_##name,
		MBJ_RC_MAP(X)
#undef X
	};

	for (int i = 0; i < (int)(sizeof(codes) / sizeof(codes[0])); i++) {
		ck_assert_int_eq(codes[i], -i);
		ck_assert_str_ne(mbj_rc_name(codes[i]), "unknown");
		ck_assert_str_ne(mbj_rc_text(codes[i]), "unknown error");
	}
	ck_assert_str_eq(mbj_rc_name(MBJ_ENOSPC), "ENOSPC");
	ck_assert_str_eq(mbj_rc_text(MBJ_ENOSPC), "no space left");
	ck_assert_str_eq(mbj_rc_name((enum mbj_rc)(-99)), "unknown");
	ck_assert_str_eq(mbj_rc_text((enum mbj_rc)(-99)), "unknown error");
	ck_assert_str_eq(mbj_refusal_type(MBJ_REFUSAL_NONE), "");
	ck_assert_str_eq(mbj_refusal_type(MBJ_REFUSAL_HAS_CHILD),
			 "mailboxHasChild");
	ck_assert_str_eq(mbj_refusal_type((enum mbj_refusal)99), "");
}
END_TEST

TCase *test_error_case(void)
{
	TCase *tc = tcase_create("error");

	tcase_add_test(tc, error_sets);
	tcase_add_test(tc, error_may_be_null);
	tcase_add_test(tc, error_refuses);
	tcase_add_loop_test(tc, error_cuts_subject, 0, 2);
	tcase_add_test(tc, error_escapes_message);
	tcase_add_test(tc, error_may_alias);
	tcase_add_test(tc, error_maps_errno);
	tcase_add_test(tc, error_long_path);
	tcase_add_test(tc, error_prefixes);
	tcase_add_test(tc, error_words);
	return tc;
}
