/*
 * See wanted_pace.h.
 */
#include "wanted_pace.h"

/* How long a question for all of them is to be away from the last one. */
static int64_t share_ms(uint64_t missing)
{
	if (missing >= WANTED_SHARE_MAX)
		return WANTED_MOST_MS;
	return (int64_t)missing * WANTED_MOST_MS / WANTED_SHARE_MAX;
}

void wanted_pace_asked(struct wanted_pace *p, uint64_t missing, int64_t now_ms)
{
	/* Another number: some came, or there are new ones. */
	if (missing != p->missing || p->gap_ms == 0)
		p->gap_ms = WANTED_FIRST_MS;
	else if (p->gap_ms < WANTED_MOST_MS)
		p->gap_ms *= 2;
	if (missing == 0 || p->gap_ms > WANTED_MOST_MS)
		p->gap_ms = WANTED_MOST_MS;
	p->missing = missing;
	p->asked_ms = now_ms;
	p->due_ms = share_ms(missing);
	if (p->due_ms < p->gap_ms)
		p->due_ms = p->gap_ms;
	p->due_ms += now_ms;
}

void wanted_pace_missed(struct wanted_pace *p, uint64_t count, int64_t now_ms)
{
	int64_t due;

	if (count == 0)
		return;
	p->missing += count;
	p->gap_ms = WANTED_FIRST_MS;
	due = p->asked_ms + share_ms(p->missing);
	if (due < now_ms + WANTED_FIRST_MS)
		due = now_ms + WANTED_FIRST_MS;
	/* Others that are missed meanwhile do not put it off. */
	if (due < p->due_ms)
		p->due_ms = due;
}

int64_t wanted_pace_wait(const struct wanted_pace *p, int64_t now_ms)
{
	return p->due_ms > now_ms ? p->due_ms - now_ms : 0;
}
