/*
 * Judging and normalising one name; see mbj/name.h.
 *
 * Plain ASCII never reaches ICU.  Everything else is judged code point by
 * code point, normalised (NFC), folded where the account folds, normalised
 * again (26 code points leave NFC by being folded), and judged for length.
 *
 * Invariant: a key made of a key is itself, a stored name made of a stored
 * name is itself.
 *
 * Threads: ICU's NFC instance is shared and constant.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include <mbj/check.h>

#include "name_impl.h"

/* UTF-16 units of a name: NFC never grows UTF-8 this far in legal names. */
enum { NAME_UNITS_MAX = 4 * MBJ_KEY_MAX };

/* Longer input cannot become short enough: NFC shrinks by a bounded factor. */
enum { NAME_INPUT_MAX = 16 * MBJ_NAME_MAX };

/* One name as UTF-16. */
struct wide {
	UChar units[NAME_UNITS_MAX];
	int32_t length;
};

/* Two that take turns, and UTF-8 of one: too much for a small stack. */
struct scratch {
	struct wide stored;
	struct wide other;
	char text[3 * NAME_UNITS_MAX];
};

MBJ_PRINTF(3, 4)
static enum mbj_rc name_refuse(struct mbj_error *err, struct mbj_bytes utf8,
			       const char *format, ...)
{
	char quoted[NAME_QUOTE_SIZE];
	char raw[NAME_SUBJECT_SIZE];
	char reason[160];
	va_list args;

	if (!err)
		return MBJ_EINVALID;
	name_quote(utf8, quoted);
	name_subject(utf8, raw);
	va_start(args, format);
	(void)vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "name",
				raw, "the name %s %s", quoted, reason);
}
#define name_refuse(...) MBJ_FAILURE(name_refuse(__VA_ARGS__))

/* Why a code point may not be in a name, or NULL. */
static const char *point_fault(uint32_t point, char delimiter)
{
	if (name_is_control(point))
		return "holds a control character";
	if (point == (uint32_t)(unsigned char)delimiter)
		return "holds the hierarchy delimiter";
	if (point < 0x80)
		return NULL;
	if (point == 0xfeff)
		return "holds a byte order mark";
	if (point == 0x2028 || point == 0x2029)
		return "holds a line or paragraph separator";
	if (name_is_noncharacter(point))
		return "holds a noncharacter";
	if (u_charType((UChar32)point) == U_UNASSIGNED)
		return "holds a code point that this version of Unicode does "
		       "not know";
	return NULL;
}

static enum mbj_rc points_judge(const struct mbj_name_policy *policy,
				struct mbj_bytes utf8, struct mbj_error *err)
{
	size_t at = 0;

	while (at < utf8.n) {
		uint32_t point;
		size_t n = name_decode_point(utf8.p + at, utf8.n - at, &point);
		const char *fault;

		if (n == 0)
			return name_refuse(err, utf8, "is not UTF-8");
		fault = point_fault(point, policy->delimiter);
		if (fault)
			return name_refuse(err, utf8, "%s (U+%04X)", fault,
					   (unsigned)point);
		at += n;
	}
	return MBJ_OK;
}

static enum mbj_rc icu_failed(UErrorCode code, struct mbj_bytes utf8,
			      struct mbj_error *err)
{
	if (code == U_MEMORY_ALLOCATION_ERROR)
		return mbj_error_nomem(err);
	if (code == U_BUFFER_OVERFLOW_ERROR)
		return name_refuse(err, utf8, "is over %d bytes", MBJ_NAME_MAX);
	return name_refuse(err, utf8, "cannot be normalised: %s",
			   u_errorName(code));
}

/* NFC of from into to. */
static void wide_normalize(const struct wide *from, struct wide *to,
			   UErrorCode *code)
{
	const UNormalizer2 *nfc = unorm2_getNFCInstance(code);

	to->length = unorm2_normalize(nfc, from->units, from->length, to->units,
				      NAME_UNITS_MAX, code);
}

/* UTF-8 of what is stored there, in the arena. */
static enum mbj_rc wide_dup(struct scratch *scratch, struct mbj_bytes utf8,
			    struct mbj_arena *arena, struct mbj_bytes *ret,
			    struct mbj_error *err)
{
	const struct wide *wide = &scratch->stored;
	UErrorCode code = U_ZERO_ERROR;
	int32_t n = 0;

	(void)u_strToUTF8(scratch->text, sizeof(scratch->text), &n, wide->units,
			  wide->length, &code);
	if (U_FAILURE(code))
		return icu_failed(code, utf8, err);
	if (!mbj_arena_dup(arena, mbj_bytes_make(scratch->text, (size_t)n),
			   ret))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

/* Stored form and key of a name that has more than ASCII in it. */
static enum mbj_rc wide_make(const struct mbj_name_policy *policy,
			     struct mbj_bytes utf8, struct scratch *scratch,
			     struct mbj_arena *arena, struct mbj_name *ret_name,
			     struct mbj_error *err)
{
	struct wide *stored = &scratch->stored;
	struct wide *other = &scratch->other;
	UErrorCode code = U_ZERO_ERROR;
	struct mbj_name name;
	enum mbj_rc rc;

	(void)u_strFromUTF8(other->units, NAME_UNITS_MAX, &other->length,
			    (const char *)utf8.p, (int32_t)utf8.n, &code);
	wide_normalize(other, stored, &code);
	if (U_FAILURE(code))
		return icu_failed(code, utf8, err);
	rc = wide_dup(scratch, utf8, arena, &name.stored, err);
	if (rc < 0)
		return rc;
	name.key = name.stored;
	if (policy->is_folding) {
		other->length = u_strFoldCase(other->units, NAME_UNITS_MAX,
					      stored->units, stored->length,
					      U_FOLD_CASE_DEFAULT, &code);
		wide_normalize(other, stored, &code);
		if (U_FAILURE(code))
			return icu_failed(code, utf8, err);
		rc = wide_dup(scratch, utf8, arena, &name.key, err);
		if (rc < 0)
			return rc;
	}
	*ret_name = name;
	return MBJ_OK;
}

static enum mbj_rc unicode_make(const struct mbj_name_policy *policy,
				struct mbj_bytes utf8, struct mbj_arena *arena,
				struct mbj_name *ret_name,
				struct mbj_error *err)
{
	struct scratch *scratch = mbj_alloc(sizeof(*scratch));
	enum mbj_rc rc;

	if (scratch == NULL)
		return mbj_error_nomem(err);
	rc = wide_make(policy, utf8, scratch, arena, ret_name, err);
	mbj_free(scratch);
	return rc;
}

/* The same for ASCII, where NFC does nothing and folding is tolower. */
static enum mbj_rc plain_make(const struct mbj_name_policy *policy,
			      struct mbj_bytes utf8, struct mbj_arena *arena,
			      struct mbj_name *ret_name, struct mbj_error *err)
{
	uint8_t folded[MBJ_NAME_MAX];
	bool is_changed = false;

	ret_name->stored = utf8;
	ret_name->key = utf8;
	if (!policy->is_folding)
		return MBJ_OK;
	MBJ_ASSERT(utf8.n <= sizeof(folded));
	for (size_t i = 0; i < utf8.n; i++) {
		bool is_upper = utf8.p[i] >= 'A' && utf8.p[i] <= 'Z';

		folded[i] = (uint8_t)(utf8.p[i] + (is_upper ? 32 : 0));
		is_changed |= is_upper;
	}
	if (is_changed && !mbj_arena_dup(arena, mbj_bytes_make(folded, utf8.n),
					 &ret_name->key))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

/* INBOX in any case; only ASCII can be (RFC 9051 section 5.1). */
static bool is_inbox_in_any_case(struct mbj_bytes utf8)
{
	static const char inbox[] = "inbox";

	if (utf8.n != sizeof(inbox) - 1)
		return false;
	for (size_t i = 0; i < utf8.n; i++) {
		if ((utf8.p[i] | 0x20) != inbox[i])
			return false;
	}
	return true;
}

static enum mbj_rc lengths_judge(const struct mbj_name *name,
				 struct mbj_bytes utf8, struct mbj_error *err)
{
	if (name->stored.n > MBJ_NAME_MAX)
		return name_refuse(err, utf8, "is over %d bytes", MBJ_NAME_MAX);
	if (name->key.n > MBJ_KEY_MAX)
		return name_refuse(err, utf8,
				   "is over %d bytes when its case is folded",
				   MBJ_KEY_MAX);
	return MBJ_OK;
}

static bool has_reserved_prefix(struct mbj_bytes key)
{
	static const char prefix[] = MBJ_NAME_RESERVED_PREFIX;
	const size_t n = sizeof(prefix) - 1;

	return key.n >= n && memcmp(key.p, prefix, n) == 0;
}

enum mbj_rc mbj_name_make(const struct mbj_name_policy *policy,
			  struct mbj_bytes utf8, bool is_top,
			  struct mbj_arena *arena, struct mbj_name *ret_name,
			  struct mbj_error *err)
{
	struct mbj_name name = {{NULL, 0}, {NULL, 0}};
	enum mbj_rc rc;

	MBJ_ASSERT(policy->delimiter > 0x20 && policy->delimiter < 0x7f);
	if (utf8.n == 0)
		return name_refuse(err, utf8, "is empty");
	if (utf8.n > NAME_INPUT_MAX)
		return name_refuse(err, utf8, "is over %d bytes", MBJ_NAME_MAX);
	if (is_top && is_inbox_in_any_case(utf8)) {
		name.stored = mbj_bytes_make("INBOX", 5);
		name.key = name.stored;
		*ret_name = name;
		return MBJ_OK;
	}
	rc = points_judge(policy, utf8, err);
	if (rc < 0)
		return rc;
	if (!name_is_plain(utf8))
		rc = unicode_make(policy, utf8, arena, &name, err);
	else if (utf8.n <= MBJ_NAME_MAX)
		rc = plain_make(policy, utf8, arena, &name, err);
	else
		rc = name_refuse(err, utf8, "is over %d bytes", MBJ_NAME_MAX);
	if (rc == MBJ_OK)
		rc = lengths_judge(&name, utf8, err);
	if (rc != MBJ_OK)
		return rc;
	if (has_reserved_prefix(name.key))
		return name_refuse(err, utf8,
				   "begins with %s, which is "
				   "reserved",
				   MBJ_NAME_RESERVED_PREFIX);
	*ret_name = name;
	return MBJ_OK;
}

/* Components of a path, one more than its delimiters. */
static size_t component_count(struct mbj_bytes utf8, char delimiter)
{
	size_t count = 1;

	for (size_t i = 0; i < utf8.n; i++)
		count += utf8.p[i] == (uint8_t)delimiter;
	return count;
}

static enum mbj_rc path_judge(struct mbj_bytes utf8, size_t count,
			      struct mbj_error *err)
{
	char quoted[NAME_QUOTE_SIZE];
	char raw[NAME_SUBJECT_SIZE];

	if (utf8.n <= MBJ_PATH_MAX && count <= MBJ_DEPTH_MAX)
		return MBJ_OK;
	name_quote(utf8, quoted);
	name_subject(utf8, raw);
	return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, "path", raw,
				"the path %s is over %d bytes or %d levels",
				quoted, MBJ_PATH_MAX, MBJ_DEPTH_MAX);
}

/* One of several: alone it would not say where it is. */
static enum mbj_rc path_refuse_empty(struct mbj_bytes utf8,
				     struct mbj_error *err)
{
	char quoted[NAME_QUOTE_SIZE];
	char raw[NAME_SUBJECT_SIZE];

	name_quote(utf8, quoted);
	name_subject(utf8, raw);
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "path",
				raw, "the path %s has an empty name in it",
				quoted);
}

enum mbj_rc mbj_path_split(const struct mbj_name_policy *policy,
			   struct mbj_bytes utf8, struct mbj_arena *arena,
			   struct mbj_name **ret_names, size_t *ret_count,
			   struct mbj_error *err)
{
	size_t count = component_count(utf8, policy->delimiter);
	struct mbj_name *names;
	size_t begin = 0;
	size_t at = 0;
	enum mbj_rc rc;

	rc = path_judge(utf8, count, err);
	if (rc < 0)
		return rc;
	names = mbj_arena_alloc(arena, count * sizeof(*names));
	if (!names)
		return mbj_error_nomem(err);
	for (size_t i = 0; i <= utf8.n; i++) {
		if (i < utf8.n && utf8.p[i] != (uint8_t)policy->delimiter)
			continue;
		MBJ_ASSERT(at < count);
		if (i == begin && count > 1)
			return path_refuse_empty(utf8, err);
		rc = mbj_name_make(policy,
				   mbj_bytes_make(utf8.p ? utf8.p + begin
							 : NULL,
						  i - begin),
				   at == 0, arena, &names[at], err);
		if (rc < 0)
			return rc;
		at++;
		begin = i + 1;
	}
	MBJ_ASSERT(at == count);
	*ret_names = names;
	*ret_count = count;
	return MBJ_OK;
}
