/*
 * See stream_rate.h.
 */
#include "stream_rate.h"

#include <mbj/check.h>
#include <mbj/stream.h>

#include "stream_frame.h"

enum {
	TOKEN = 1000,	   /* a byte: then a millisecond adds the rate */
	SAVED_MS = 100,	   /* what is not used is saved up for so long */
	OWED_MS = 2000,	   /* nobody owes more, but for one frame */
	STEP_MS = 1 << 20, /* counted at once, so that nothing overflows */
};

/* Above it nobody waits for anything. */
static const uint64_t RATE_MAX = UINT64_C(1) << 40;

void stream_rate_init(struct stream_rate *r, int64_t now_ms)
{
	*r = (struct stream_rate){.at_ms = now_ms};
}

void stream_rate_lower(struct stream_rate *r, uint64_t rate, int64_t now_ms)
{
	(void)stream_rate_wait(r, now_ms);
	if (rate > RATE_MAX)
		rate = RATE_MAX;
	if (rate > 0 && (r->rate == 0 || rate < r->rate))
		r->rate = rate;
}

int64_t stream_rate_wait(struct stream_rate *r, int64_t now_ms)
{
	int64_t rate = (int64_t)r->rate;
	int64_t passed = now_ms - r->at_ms;

	MBJ_ASSERT(passed >= 0);
	r->at_ms = now_ms;
	if (rate == 0)
		return 0;
	if (passed > STEP_MS)
		passed = STEP_MS;
	r->tokens += passed * rate;
	if (r->tokens > rate * SAVED_MS)
		r->tokens = rate * SAVED_MS;
	if (r->tokens >= 0)
		return 0;
	return (rate - 1 - r->tokens) / rate;
}

void stream_rate_spend(struct stream_rate *r, size_t n)
{
	int64_t cost = (int64_t)n * TOKEN;
	int64_t most = (int64_t)r->rate * OWED_MS;

	MBJ_ASSERT(n <= STREAM_FRAME_MAX);
	if (r->rate == 0)
		return;
	r->tokens -= cost;
	if (most < cost)
		most = cost;
	if (r->tokens < -most)
		r->tokens = -most;
}

size_t stream_rate_piece(const struct stream_rate *r, size_t max)
{
	return r->rate == 0 || r->rate / 4 > max ? max : (size_t)r->rate / 4;
}
