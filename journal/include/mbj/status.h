/*
 * What a store and the service that owns it say of themselves.
 *
 * Threads: values; one at a time per object.
 */
#ifndef MBJ_STATUS_H
#define MBJ_STATUS_H

#include <mbj/intent.h>
#include <mbj/log.h>
#include <mbj/store.h>
#include <mbj/upstream.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_client_parked {
	struct mbj_parked parked;
	struct mbj_bytes name; /* the account's; empty: this store lacks it */
};

/* An account that differs from what its journal says, knowingly. */
struct mbj_client_skipped {
	struct mbj_skipped skipped;
	struct mbj_bytes name; /* likewise */
};

/* An open intent, as lists have it. */
struct mbj_client_intent {
	struct mbj_intent intent;
	struct mbj_bytes account; /* its name */
};

/* One connection, as the service sees it. */
struct mbj_client_peer {
	uint64_t process;
	uint32_t uid;
	uint32_t gid;
	uint64_t requests;
	uint64_t idle_ms;
};

/*
 * X(member, JSON, what it is): what the service has done since it began.  New
 * ones come last: a status has as many of them as its sender knows.
 */
#define MBJ_SERVICE_STATS_MAP(X)                                              \
	X(process, "process", "its process, 0: no service")                   \
	X(up_ms, "upMs", "milliseconds since it began")                       \
	X(connections, "connections", "open now")                             \
	X(connections_max, "connectionsMax", "allowed at once")               \
	X(accepted, "accepted", "connections ever")                           \
	X(refused, "refused", "connections: too many, or not allowed")        \
	X(requests, "requests", "answered")                                   \
	X(edits, "edits", "carried out")                                      \
	X(workers, "workers", "threads begun")                                \
	X(memory, "memory", "bytes of long requests and edits' answers, now") \
	X(memory_max, "memoryMax", "before long requests have to wait")       \
	X(taken, "taken", "edits that were answered before durable")          \
	X(taken_lost, "takenLost", "of those, that never were durable")       \
	X(answers, "answers", "bytes of long lists, now")                     \
	X(answers_max, "answersMax", "before long lists have to wait")        \
	X(unread, "unread", "connections given up: they read no answer")      \
	X(stood, "stood", "changes announced by an intent that stood")        \
	X(content_log, "contentLog", "1: short contents go through a log")    \
	X(content_log_failures, "contentLogFailures", "of that log, ever")

struct mbj_service_stats {
#define X(member, word, what) uint64_t member;
	MBJ_SERVICE_STATS_MAP(X)
#undef X
};

struct mbj_client_status {
	struct mbj_identity identity;
	struct mbj_log_end end;
	struct mbj_log_usage usage;
	struct mbj_store_space space;
	struct mbj_house_status house;
	struct mbj_watermark applied;
	struct mbj_store_recovery recovery;
	uint64_t account_count;
	uint64_t intent_count; /* open ones, of all accounts */
	int64_t intent_oldest; /* since when, seconds since 1970; 0: none */
	struct mbj_client_parked *parked;
	size_t parked_count;
	struct mbj_client_skipped *skipped;
	size_t skipped_count;
	struct mbj_service_stats service;
	/* Why its log of contents failed last, NULL: it did not, or the service
	 * is of a version that does not say. */
	char *content_log_reason;
	struct mbj_client_peer *peers;
	size_t peer_count;
	struct mbj_upstream_status upstream; /* of a service that follows */
	struct mbj_buf bytes;		     /* what both borrow */
};

/* Accepts NULL, and one that is all zero. */
MBJ_API void mbj_client_status_done(struct mbj_client_status *status);

#ifdef __cplusplus
}
#endif

#endif
