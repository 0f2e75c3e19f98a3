/*
 * Dates: that of a separator line, and that of a Date field.
 *
 * Both are words in a known order; a word is cut off, looked at, and what does
 * not fit makes all of it no date.  Years are 1900 to 9999.
 *
 * Threads: pure functions.
 */
#include <mbj/mbox.h>

static const char *const months = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char *const weekdays = "montuewedthufrisatsun";

struct date {
	unsigned day;	/* 1 to 31 */
	unsigned month; /* 0 to 11 */
	unsigned year;
	unsigned second; /* of the day */
	int zone;	 /* minutes east of UTC */
};

/* Cut the next word off; separators are spaces, tabs and commas. */
static struct mbj_bytes word_next(struct mbj_bytes *rest)
{
	struct mbj_bytes word;
	size_t n = 0;

	while (rest->n > 0 &&
	       (rest->p[0] == ' ' || rest->p[0] == '\t' || rest->p[0] == ',')) {
		rest->p++;
		rest->n--;
	}
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' &&
	       rest->p[n] != ',')
		n++;
	word = mbj_bytes_make(rest->p, n);
	rest->p += n;
	rest->n -= n;
	return word;
}

/* digits_min to digits_max digits and nothing else. */
static bool number_parse(struct mbj_bytes word, size_t digits_min,
			 size_t digits_max, unsigned *ret_number)
{
	unsigned number = 0;

	if (word.n < digits_min || word.n > digits_max)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] < '0' || word.p[i] > '9')
			return false;
		number = number * 10 + (word.p[i] - '0');
	}
	*ret_number = number;
	return true;
}

/* Three letters, in any case, and where they are in a list of such. */
static bool name_parse(struct mbj_bytes word, const char *names,
		       unsigned *ret_index)
{
	if (word.n != 3)
		return false;
	for (unsigned i = 0; names[3 * i] != '\0'; i++) {
		const char *name = names + 3 * (size_t)i;

		if ((word.p[0] | 0x20) == name[0] &&
		    (word.p[1] | 0x20) == name[1] &&
		    (word.p[2] | 0x20) == name[2]) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

/* "8:40", "08:40:34"; a leap second counts as the one before. */
static bool clock_parse(struct mbj_bytes word, unsigned *ret_second)
{
	unsigned part[3] = {0, 0, 0};
	size_t count = 0;

	for (size_t at = 0; at <= word.n; count++) {
		size_t n = at;

		while (n < word.n && word.p[n] != ':')
			n++;
		if (count == 3 ||
		    !number_parse(mbj_bytes_make(word.p + at, n - at), 1, 2,
				  &part[count]))
			return false;
		at = n + 1;
	}
	if (count < 2 || part[0] > 23 || part[1] > 59 || part[2] > 60)
		return false;
	if (part[2] == 60)
		part[2] = 59;
	*ret_second = part[0] * 3600 + part[1] * 60 + part[2];
	return true;
}

/* "+0100"; a name of letters is a zone, and what is not known of it is UTC. */
static bool zone_parse(struct mbj_bytes word, int *ret_zone)
{
	static const struct {
		const char *name;
		int minutes;
	} zones[] = {{"est", -300}, {"edt", -240}, {"cst", -360},
		     {"cdt", -300}, {"mst", -420}, {"mdt", -360},
		     {"pst", -480}, {"pdt", -420}};
	unsigned number;

	if (word.n == 5 && (word.p[0] == '+' || word.p[0] == '-') &&
	    number_parse(mbj_bytes_make(word.p + 1, 4), 4, 4, &number)) {
		if (number % 100 > 59)
			return false;
		*ret_zone = (int)(number / 100 * 60 + number % 100);
		if (word.p[0] == '-')
			*ret_zone = -*ret_zone;
		return true;
	}
	if (word.n == 0 || word.n > 5)
		return false;
	for (size_t i = 0; i < word.n; i++)
		if ((word.p[i] | 0x20) < 'a' || (word.p[i] | 0x20) > 'z')
			return false;
	*ret_zone = 0;
	for (size_t i = 0; i < sizeof(zones) / sizeof(*zones); i++) {
		unsigned index;

		if (name_parse(word, zones[i].name, &index) && index == 0)
			*ret_zone = zones[i].minutes;
	}
	return true;
}

/* Two digits as RFC 5322 section 4.3 reads them, three as years since 1900. */
static bool year_parse(struct mbj_bytes word, unsigned *ret_year)
{
	if (!number_parse(word, 2, 4, ret_year))
		return false;
	if (word.n == 2 && *ret_year < 50)
		*ret_year += 2000;
	else if (word.n < 4)
		*ret_year += 1900;
	return *ret_year >= 1900;
}

static bool is_leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Seconds since 1970; false: there is no such day. */
static bool date_seconds(const struct date *date, int64_t *ret_time)
{
	static const unsigned before[] = {0,   31,  59,	 90,  120, 151,
					  181, 212, 243, 273, 304, 334};
	static const unsigned length[] = {31, 28, 31, 30, 31, 30,
					  31, 31, 30, 31, 30, 31};
	unsigned leap = date->month == 1 && is_leap(date->year);
	unsigned years = date->year - 1;
	int64_t days;

	if (date->day == 0 || date->day > length[date->month] + leap)
		return false;
	/* Days before the year, since the year 1; 719162 of them before 1970.
	 */
	days = (int64_t)365 * years + years / 4 - years / 100 + years / 400;
	days += before[date->month] + (date->day - 1);
	if (date->month > 1 && is_leap(date->year))
		days++;
	*ret_time = (days - 719162) * 86400 + date->second -
		    (int64_t)date->zone * 60;
	return true;
}

/* "Thu Nov 26 08:40:34 2026", "+0100" or "CET" before or behind the year. */
static bool asctime_parse(struct mbj_bytes text, int64_t *ret_time)
{
	struct date date = {0};
	struct mbj_bytes word;
	unsigned weekday;

	if (!name_parse(word_next(&text), weekdays, &weekday) ||
	    !name_parse(word_next(&text), months, &date.month) ||
	    !number_parse(word_next(&text), 1, 2, &date.day) ||
	    !clock_parse(word_next(&text), &date.second))
		return false;
	word = word_next(&text);
	if (zone_parse(word, &date.zone))
		word = word_next(&text);
	if (word.n != 4 || !year_parse(word, &date.year))
		return false;
	word = word_next(&text);
	if (word.n > 0 &&
	    (!zone_parse(word, &date.zone) || word_next(&text).n > 0))
		return false;
	return date_seconds(&date, ret_time);
}

bool mbj_mbox_from_parse(struct mbj_bytes line, bool *ret_has_time,
			 int64_t *ret_time)
{
	struct mbj_bytes rest = {line.p + 5, line.n - 5};
	struct mbj_bytes sender;

	if (line.n < 5 || memcmp(line.p, "From ", 5) != 0)
		return false;
	/* The sender may have spaces in it: the date is what ends the line. */
	*ret_has_time = true;
	for (struct mbj_bytes at = rest; at.n > 0; (void)word_next(&at))
		if (asctime_parse(at, ret_time))
			return true;
	*ret_has_time = false;
	sender = word_next(&rest);
	if (word_next(&rest).n > 0)
		return false;
	return mbj_bytes_equal(sender, mbj_bytes_str("-")) ||
	       (sender.n > 0 && memchr(sender.p, '@', sender.n) != NULL);
}

/* "Thu, 26 Nov 2026 08:40:34 +0100 (CET)"; weekday, seconds, zone may lack. */
bool mbj_mail_date_parse(struct mbj_bytes value, int64_t *ret_time)
{
	struct mbj_bytes word = word_next(&value);
	struct date date = {0};
	unsigned weekday;

	if (name_parse(word, weekdays, &weekday))
		word = word_next(&value);
	if (!number_parse(word, 1, 2, &date.day) ||
	    !name_parse(word_next(&value), months, &date.month) ||
	    !year_parse(word_next(&value), &date.year) ||
	    !clock_parse(word_next(&value), &date.second))
		return false;
	(void)zone_parse(word_next(&value), &date.zone);
	return date_seconds(&date, ret_time);
}
