/*
 * The bytes between a replica and its source: any bytes are an error, or frames
 * that encode to the same bytes again; and whatever comes after the first byte,
 * which says who hears it, a source answers or hangs up, a replica takes groups
 * or hangs up, and stays a store that opens.  With the second bit of that byte
 * the source has a snapshot, and the replica an account that is set aside, and
 * asks for one; with the third the replica asked for what is packed.
 */
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/check.h>
#include <mbj/stream.h>
#include <mbj/trim.h>

#include "disk.h"
#include "fuzz.h"
#include "stream_frame.h"

enum { INPUT_MAX = 16 << 10, SOCKET_SIZE = 256 << 10, TIMEOUT_MS = 100 };
enum { RATE_FAST = 1 << 30 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

/* Decode a body, and append its frame; false: it is none. */
static bool frame_again(const struct stream_head *head, struct mbj_bytes body,
			struct stream_message *ret_m, struct mbj_buf *again)
{
	struct mbj_bytes packed;
	uint32_t size;

	if (head->packing == STREAM_PLAIN) {
		if (stream_body_decode(head, body, ret_m, NULL) < 0)
			return false;
		stream_encode(again, head->kind, ret_m);
		return true;
	}
	if (stream_packed_decode(head, body, &size, &packed, NULL) < 0)
		return false;
	stream_encode_packed(again, head->kind, head->packing, size, packed);
	return true;
}

/* False: they ask for a rate that would have us wait. */
static bool frames_check(struct mbj_bytes bytes, enum stream_side side)
{
	bool is_fast = true;
	struct stream_head head;
	struct mbj_buf again;

	mbj_buf_init(&again, STREAM_FRAME_MAX);
	while (bytes.n >= STREAM_HEAD_SIZE &&
	       stream_head_decode(bytes.p, side, &head, NULL) == MBJ_OK &&
	       head.size <= bytes.n - STREAM_HEAD_SIZE) {
		size_t size = STREAM_HEAD_SIZE + head.size;
		struct mbj_bytes body = {bytes.p + STREAM_HEAD_SIZE, head.size};
		struct stream_message m = {.count = 0};

		mbj_buf_clear(&again);
		if (!frame_again(&head, body, &m, &again))
			break;
		if (head.kind == STREAM_PACE && m.rate < RATE_FAST)
			is_fast = false;
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&again),
					   mbj_bytes_make(bytes.p, size)));
		bytes.p += size;
		bytes.n -= size;
	}
	mbj_buf_done(&again);
	return is_fast;
}

/* A socket in which these bytes are, and then the end; *ret_far to close. */
static int socket_with(struct mbj_bytes bytes, int *ret_far)
{
	int size = SOCKET_SIZE;
	int fds[2];

	MBJ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size,
				 sizeof(size));
	MBJ_ASSERT(send(fds[1], bytes.p, bytes.n, MSG_NOSIGNAL) ==
		   (ssize_t)bytes.n);
	MBJ_ASSERT(shutdown(fds[1], SHUT_WR) == 0);
	*ret_far = fds[1];
	return fds[0];
}

/* A primary with one group. */
static void primary_make(const struct mbj_store_options *options)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = {{1}},
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_store *store = NULL;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("alice");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &change;
	edit.change_count = 1;
	OK(mbj_store_init("p", MBJ_STORE_PRIMARY, options, NULL));
	OK(mbj_store_open("p", options, &store, NULL));
	OK(mbj_store_submit(store, &edit, &outcome, NULL));
	mbj_outcome_done(&outcome);
	mbj_store_close(&store);
}

/* A group that a replica with something of its own does not take. */
static void primary_rename(const struct mbj_store_options *options)
{
	const struct mbj_rename rename = {mbj_bytes_str("alice"),
					  mbj_bytes_str("ally")};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_store *store = NULL;

	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = rename.source;
	edit.renames = &rename;
	edit.rename_count = 1;
	OK(mbj_store_open("p", options, &store, NULL));
	OK(mbj_store_submit(store, &edit, &outcome, NULL));
	mbj_outcome_done(&outcome);
	mbj_store_close(&store);
}

static void snapshot_make(const struct mbj_store_options *options)
{
	struct mbj_snapshot_result result;
	struct mbj_store *store = NULL;

	OK(mbj_store_open("p", options, &store, NULL));
	OK(mbj_store_snapshot(store, &result, NULL));
	mbj_store_close(&store);
}

static void source_hear(const struct mbj_store_options *store, bool is_mending,
			struct mbj_stream_options *options)
{
	enum mbj_rc rc;

	primary_make(store);
	if (is_mending) {
		primary_rename(store);
		snapshot_make(store);
	}
	options->sys = store->sys;
	rc = mbj_stream_send("p", options, NULL);
	FUZZ_CANARY(rc == MBJ_OK);
}

/* It has all that the primary has, and its one account is aside. */
static void account_park(struct mbj_store *replica,
			 const struct mbj_store_options *options)
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	const struct mbj_bytes ghost = mbj_bytes_str("ghost");
	const struct mbj_path path = {ghost, ghost};
	struct mbj_replay_result result;
	struct mbj_batch *batch = NULL;
	struct mbj_account account;

	OK(mbj_replay_journal(replica, "p", &usual, &result, NULL));
	OK(mbj_batch_begin(replica, &batch, NULL));
	OK(mbj_txn_account_find(mbj_batch_txn(batch), mbj_bytes_str("alice"),
				&account, NULL));
	OK(mbj_txn_subscribe(mbj_batch_txn(batch), account.id, &path, NULL));
	mbj_batch_touch(batch);
	OK(mbj_batch_commit(&batch, NULL));
	primary_rename(options);
	OK(mbj_replay_journal(replica, "p", &usual, &result, NULL));
	MBJ_ASSERT(result.accounts_parked == 1);
}

static void replica_hear(const struct mbj_store_options *store, bool is_mending,
			 struct mbj_stream_options *options)
{
	struct mbj_store *replica = NULL;
	struct mbj_stream_result result;

	if (is_mending)
		primary_make(store);
	OK(mbj_store_init("r", MBJ_STORE_REPLICA, store, NULL));
	OK(mbj_replica_open("r", store, &replica, NULL));
	if (is_mending)
		account_park(replica, store);
	options->is_mending = is_mending;
	if (mbj_stream_follow(replica, options, &result, NULL) == MBJ_OK)
		MBJ_ASSERT(result.is_met);
	MBJ_ASSERT(result.replay.groups <= mbj_store_end(replica).lsn.v);
	FUZZ_CANARY(result.replay.groups > 1);
	mbj_store_close(&replica);
	OK(mbj_replica_open("r", store, &replica, NULL));
	mbj_store_close(&replica);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_store_options store = MBJ_STORE_OPTIONS_INIT;
	struct mbj_bytes bytes;
	struct disk *disk;
	int far;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	bytes = mbj_bytes_make(data + 1, size - 1);
	if (!frames_check(bytes, data[0] % 2 ? STREAM_SOURCE : STREAM_REPLICA))
		return 0;
	disk = disk_new();
	store.sys = disk_sys(disk);
	store.state.engine = MBJ_STATE_MEMORY;
	options.in_fd = socket_with(bytes, &far);
	options.out_fd = options.in_fd;
	options.timeout_ms = TIMEOUT_MS;
	options.is_once = true;
	options.level = data[0] & 4 ? 3 : 0;
	if (data[0] % 2)
		replica_hear(&store, data[0] & 2, &options);
	else
		source_hear(&store, data[0] & 2, &options);
	(void)close(options.in_fd);
	(void)close(far);
	disk_free(&disk);
	return 0;
}
