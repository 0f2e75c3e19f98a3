/*
 * The JSON writer, and the small documents that need nothing else.
 *
 * Not a pretty-printer: lists that people read get one member a line, all
 * else is compact.
 *
 * Invariants:
 *   1. what is written is valid JSON in valid UTF-8, whatever the names hold;
 *   2. no character is written that a terminal would obey, hide or reorder
 *      its neighbours for: those become \uXXXX, which parses to the same.
 *
 * Threads: one at a time per writer.
 */
#include "jmap_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/jmap.h>
#include <mbj/message.h>

void jmap_out_init(struct jmap_out *out, struct mbj_buf *buf)
{
	MBJ_ASSERT(out != NULL);
	MBJ_ASSERT(buf != NULL);
	*out = (struct jmap_out){.buf = buf};
}

/* Comma and line before a member, its key where it has one. */
static void out_begin(struct jmap_out *out, const char *key)
{
	struct jmap_out_level *level;

	if (out->is_keyed) {
		MBJ_ASSERT(key == NULL);
		out->is_keyed = false;
		return;
	}
	if (out->depth == 0)
		return;
	level = &out->levels[out->depth - 1];
	if (!level->is_empty)
		mbj_buf_put(out->buf, ",", 1);
	if (level->is_lined)
		mbj_buf_put(out->buf, "\n", 1);
	level->is_empty = false;
	if (key == NULL)
		return;
	MBJ_ASSERT(level->close == '}');
	mbj_jmap_string_print(mbj_bytes_str(key), out->buf);
	mbj_buf_put(out->buf, ":", 1);
}

void jmap_out_key(struct jmap_out *out, struct mbj_bytes key)
{
	MBJ_ASSERT(!out->is_keyed);
	MBJ_ASSERT(out->depth > 0);
	out_begin(out, NULL);
	mbj_jmap_string_print(key, out->buf);
	mbj_buf_put(out->buf, ":", 1);
	out->is_keyed = true;
}

static void out_open(struct jmap_out *out, const char *key, char open,
		     bool is_lined)
{
	MBJ_ASSERT(open == '{' || open == '[');
	MBJ_ASSERT(out->depth < JMAP_OUT_DEPTH_MAX);
	out_begin(out, key);
	mbj_buf_put(out->buf, &open, 1);
	out->levels[out->depth++] = (struct jmap_out_level){
		.close = open == '{' ? '}' : ']',
		.is_lined = is_lined,
		.is_empty = true,
	};
}

void jmap_out_open(struct jmap_out *out, const char *key, char open)
{
	out_open(out, key, open, false);
}

void jmap_out_open_lines(struct jmap_out *out, const char *key, char open)
{
	out_open(out, key, open, true);
}

void jmap_out_close(struct jmap_out *out)
{
	const struct jmap_out_level *level;

	MBJ_ASSERT(out->depth > 0);
	MBJ_ASSERT(!out->is_keyed);
	level = &out->levels[--out->depth];
	mbj_buf_put(out->buf, &level->close, 1);
}

enum mbj_rc jmap_out_finish(struct jmap_out *out, struct mbj_error *err)
{
	MBJ_ASSERT(out->depth == 0);
	MBJ_ASSERT(!out->is_keyed);
	mbj_buf_put(out->buf, "\n", 1);
	return mbj_buf_ok(out->buf, err);
}

void jmap_out_bytes(struct jmap_out *out, const char *key,
		    struct mbj_bytes utf8)
{
	out_begin(out, key);
	mbj_jmap_string_print(utf8, out->buf);
}

void jmap_out_text(struct jmap_out *out, const char *key, const char *text)
{
	jmap_out_bytes(out, key, mbj_bytes_str(text));
}

void jmap_out_number(struct jmap_out *out, const char *key, uint64_t number)
{
	out_begin(out, key);
	mbj_buf_format(out->buf, "%" PRIu64, number);
}

void jmap_out_decimal(struct jmap_out *out, const char *key, uint64_t number)
{
	out_begin(out, key);
	mbj_buf_format(out->buf, "\"%" PRIu64 "\"", number);
}

void jmap_out_bool(struct jmap_out *out, const char *key, bool is_true)
{
	out_begin(out, key);
	mbj_buf_put_str(out->buf, is_true ? "true" : "false");
}

void jmap_out_null(struct jmap_out *out, const char *key)
{
	out_begin(out, key);
	mbj_buf_put_str(out->buf, "null");
}

void jmap_out_id(struct jmap_out *out, const char *key, struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	if (mbj_id_is_root(id)) {
		jmap_out_null(out, key);
		return;
	}
	if (mbj_id_is_temp(id)) {
		jmap_out_text(out, key, "temp");
		return;
	}
	mbj_id_print(id, text);
	jmap_out_text(out, key, text);
}

void jmap_out_hex(struct jmap_out *out, const char *key, struct mbj_bytes b)
{
	static const char digits[] = "0123456789abcdef";

	MBJ_ASSERT(b.p != NULL || b.n == 0);
	out_begin(out, key);
	mbj_buf_put(out->buf, "\"", 1);
	for (size_t i = 0; i < b.n; i++) {
		char pair[2] = {digits[b.p[i] >> 4], digits[b.p[i] & 0xf]};

		mbj_buf_put(out->buf, pair, sizeof(pair));
	}
	mbj_buf_put(out->buf, "\"", 1);
}

void jmap_out_uids(struct jmap_out *out, const char *key, struct mbj_bytes uids)
{
	out_begin(out, key);
	mbj_buf_put(out->buf, "\"", 1);
	mbj_uids_print(out->buf, uids);
	mbj_buf_put(out->buf, "\"", 1);
}

/* ------------------------------------------------------------- strings */

size_t jmap_utf8_next(struct mbj_bytes b, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t lead = b.p[0];
	uint32_t point;
	size_t size;

	MBJ_ASSERT(b.n > 0);
	if (lead < 0x80) {
		*ret_point = lead;
		return 1;
	}
	size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (lead < 0xc2 || lead > 0xf4 || size > b.n)
		return 0;
	point = lead & (0xffu >> (size + 1));
	for (size_t i = 1; i < size; i++) {
		if ((b.p[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (b.p[i] & 0x3fu);
	}
	if (point < least[size] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return size;
}

bool jmap_utf8_is_valid(struct mbj_bytes b)
{
	uint32_t point;

	for (size_t at = 0, size; at < b.n; at += size) {
		size = jmap_utf8_next(mbj_bytes_make(b.p + at, b.n - at),
				      &point);
		if (size == 0)
			return false;
	}
	return true;
}

/* Controls, invisible characters, and those that reorder a line. */
static bool point_is_plain(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} odd[] = {
		{0x00, 0x1f},	  {0x7f, 0x9f},	    {0xad, 0xad},
		{0x61c, 0x61c},	  {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
	};

	if (point >= 0x20 && point < 0x7f)
		return true;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		if (point >= odd[i].first && point <= odd[i].last)
			return false;
	}
	/* Tags, U+E0000 on, are invisible too. */
	return point >> 8 != 0xe00;
}

static void string_put_escape(uint32_t point, struct mbj_buf *buf)
{
	if (point == '"' || point == '\\')
		mbj_buf_format(buf, "\\%c", (int)point);
	else if (point == '\n')
		mbj_buf_put_str(buf, "\\n");
	else if (point == '\t')
		mbj_buf_put_str(buf, "\\t");
	else if (point < 0x10000)
		mbj_buf_format(buf, "\\u%04x", (unsigned)point);
	else
		mbj_buf_format(buf, "\\u%04x\\u%04x",
			       0xd800u + (unsigned)((point - 0x10000) >> 10),
			       0xdc00u + (unsigned)(point & 0x3ff));
}

void mbj_jmap_string_print(struct mbj_bytes utf8, struct mbj_buf *ret_json)
{
	size_t begin = 0, at = 0;

	MBJ_ASSERT(ret_json != NULL);
	MBJ_ASSERT(utf8.p != NULL || utf8.n == 0);
	mbj_buf_put(ret_json, "\"", 1);
	while (at < utf8.n) {
		uint32_t point = 0;
		size_t size =
			jmap_utf8_next(mbj_bytes_make(utf8.p + at, utf8.n - at),
				       &point);

		if (size > 0 && point != '"' && point != '\\' &&
		    point_is_plain(point)) {
			at += size;
			continue;
		}
		mbj_buf_put(ret_json, utf8.p + begin, at - begin);
		if (size == 0)
			mbj_buf_put_str(ret_json, "\xef\xbf\xbd");
		else
			string_put_escape(point, ret_json);
		at += size == 0 ? 1 : size;
		begin = at;
	}
	if (at > begin)
		mbj_buf_put(ret_json, utf8.p + begin, at - begin);
	mbj_buf_put(ret_json, "\"", 1);
}

/* ---------------------------------------------------------------- time */

static bool year_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from year 0 to the first of January, proleptic Gregorian. */
static int64_t year_begin(int64_t year)
{
	int64_t before = year - 1;

	if (year <= 0)
		return year * 366;
	return 366 + before * 365 + before / 4 - before / 100 + before / 400;
}

/* day counts from 1 January of year 0. */
static void date_of(int64_t day, int64_t *ret_year, int *ret_month,
		    int *ret_day)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30,
				      31, 31, 30, 31, 30, 31};
	int64_t year = day / 366;
	int month = 0;

	while (year_begin(year + 1) <= day)
		year++;
	day -= year_begin(year);
	MBJ_ASSERT(day >= 0 && day < 366);
	for (;; month++) {
		int length = lengths[month] +
			     (month == 1 && year_is_leap(year) ? 1 : 0);

		if (day < length)
			break;
		day -= length;
	}
	*ret_year = year;
	*ret_month = month + 1;
	*ret_day = (int)day + 1;
}

bool mbj_jmap_time_print(int64_t time_us, struct mbj_buf *ret_text)
{
	const int64_t day_us = INT64_C(86400000000);
	const int64_t epoch_day = year_begin(1970);
	int64_t days = time_us / day_us, rest = time_us % day_us, year;
	int month, day, second;

	MBJ_ASSERT(ret_text != NULL);
	if (rest < 0) {
		rest += day_us;
		days--;
	}
	days += epoch_day;
	if (days < 0 || days >= year_begin(10000))
		return false;
	date_of(days, &year, &month, &day);
	second = (int)(rest / 1000000);
	mbj_buf_format(ret_text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
		       (int)year, month, day, second / 3600, second / 60 % 60,
		       second % 60, (int)(rest % 1000000));
	return true;
}

/* -------------------------------------------------------------- errors */

/* RFC 8620 section 3.6.2; an edit that goes to another store says about whom.
 */
static const char *error_type(const struct mbj_error *error)
{
	if (error->refusal != MBJ_REFUSAL_NONE)
		return mbj_refusal_type(error->refusal);
	if (error->rc == MBJ_EFENCED && error->subject_kind != NULL &&
	    strcmp(error->subject_kind, "account") == 0)
		return "accountReadOnly";
	return "serverFail";
}

enum mbj_rc mbj_jmap_error_print(const struct mbj_error *error,
				 struct mbj_buf *ret_json,
				 struct mbj_error *err)
{
	struct jmap_out out;

	MBJ_ASSERT(error != NULL);
	MBJ_ASSERT(error->rc < 0);
	jmap_out_init(&out, ret_json);
	jmap_out_open(&out, NULL, '{');
	jmap_out_text(&out, "schema", "mbj.error/1");
	jmap_out_text(&out, "type", error_type(error));
	if (error->refusal == MBJ_REFUSAL_NONE)
		jmap_out_text(&out, "code", mbj_rc_name(error->rc));
	jmap_out_text(&out, "description", error->message);
	if (error->subject_kind != NULL && error->subject[0] != '\0')
		jmap_out_text(&out, error->subject_kind, error->subject);
	if (error->file[0] != '\0')
		jmap_out_text(&out, "file", error->file);
	if (error->offset != 0)
		jmap_out_number(&out, "offset", error->offset);
	if (error->lsn != 0)
		jmap_out_number(&out, "lsn", error->lsn);
	jmap_out_close(&out);
	return jmap_out_finish(&out, err);
}

void mbj_jmap_value_print(struct mbj_bytes value, struct mbj_buf *ret_json)
{
	struct jmap_out out;

	if (jmap_utf8_is_valid(value)) {
		mbj_jmap_string_print(value, ret_json);
		return;
	}
	jmap_out_init(&out, ret_json);
	jmap_out_open(&out, NULL, '{');
	jmap_out_hex(&out, "hex", value);
	jmap_out_close(&out);
}
