/*
 * News of accounts, by asking the service how far it is, and where it has gone
 * on for the list of accounts.  See apply_follow.h.
 */
#include "apply_follow.h"

#include <time.h>

#include <array.h>
#include <doveadm-mail.h>
#include <ioloop.h>

#include <mbj/client.h>
#include <mbj/sys.h>

enum {
	POLL_MS = 20,
	/* A list of very many accounts takes no more than a tenth of it all. */
	LIST_COST = 10,
	AWAY_MS = 200,
	RETRY_FIRST_MS = 1000,
	RETRY_LAST_MS = 10 * 60 * 1000,
	FOLLOW_TIMEOUT_MS = 60000,
};

struct followed {
	uint64_t applied;  /* LSN */
	uint64_t tried;	   /* likewise, of a run that failed */
	int64_t retry_ms;  /* monotonic */
	uint32_t retry_in; /* milliseconds, 0: none has failed */
	bool is_old;	   /* there at the start, and not looked at yet */
};
ARRAY_DEFINE_TYPE(followed, struct followed);
ARRAY_DEFINE_TYPE(turns, unsigned int); /* indexes of accounts */

struct follower {
	char *socket, *name; /* of the account of the last call */
	struct mbj_client *client;
	struct mbj_client_accounts list; /* by id */
	ARRAY_TYPE(followed) states;	 /* of each of these */
	ARRAY_TYPE(turns) queue, old;	 /* with news, and those from before */
	unsigned int queue_at, old_at;	 /* the next ones */
	bool is_old_next;		 /* one had its turn that has news */
	unsigned int current;
	uint64_t listed;	/* LSN that the store was at */
	struct mbj_epoch epoch; /* and whose reign that was */
	struct mbj_id owner;
	int64_t list_ms; /* not before */
	bool is_listed, is_away;
};

struct follower *follower_new(const char *socket)
{
	struct follower *follower = i_new(struct follower, 1);

	follower->socket = i_strdup(socket);
	i_array_init(&follower->states, 64);
	i_array_init(&follower->queue, 64);
	i_array_init(&follower->old, 64);
	return follower;
}

void follower_free(struct follower **_follower)
{
	struct follower *follower = *_follower;

	if (follower == NULL)
		return;
	*_follower = NULL;
	mbj_client_accounts_done(&follower->list);
	mbj_client_close(&follower->client);
	array_free(&follower->states);
	array_free(&follower->queue);
	array_free(&follower->old);
	i_free(follower->name);
	i_free(follower->socket);
	i_free(follower);
}

static void wait_ms(unsigned int ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000,
				       .tv_nsec = (long)(ms % 1000) * 1000000};

	/* A signal ends it. */
	(void)nanosleep(&pause, NULL);
}

/* -------------------------------------------------------------- accounts */

static bool is_due(const struct followed *state, uint64_t lsn, int64_t now)
{
	return lsn > state->applied &&
	       (state->retry_in == 0 || lsn > state->tried ||
		now >= state->retry_ms);
}

/*
 * Any order will do, but not always the same: whoever comes before others, and
 * ends the process, would keep them from their turns for ever.
 */
static void shuffle(ARRAY_TYPE(turns) * turns)
{
	unsigned int count, *list = array_get_modifiable(turns, &count);

	for (unsigned int n = count; n > 1; n--) {
		unsigned int i = i_rand_limit(n), last = list[n - 1];

		list[n - 1] = list[i];
		list[i] = last;
	}
}

static void queue_fill(struct follower *follower)
{
	int64_t now = mbj_monotonic_ms();

	array_clear(&follower->queue);
	array_clear(&follower->old);
	follower->queue_at = follower->old_at = 0;
	for (unsigned int i = 0; i < array_count(&follower->states); i++) {
		const struct followed *state = array_idx(&follower->states, i);

		if (state->is_old)
			array_push_back(&follower->old, &i);
		else if (is_due(state, follower->list.accounts[i].lsn.v, now))
			array_push_back(&follower->queue, &i);
	}
	shuffle(&follower->queue);
	shuffle(&follower->old);
}

/*
 * Both lists are by id: what is known of an account goes along.  Another reign
 * may have another account under the same LSN, and whoever has no news is to be
 * known to be of that reign before its journal is trimmed: all are looked at.
 */
static void list_take(struct follower *follower,
		      struct mbj_client_accounts *fresh, bool is_other_reign)
{
	ARRAY_TYPE(followed) states;
	unsigned int k = 0;

	i_array_init(&states, (unsigned int)fresh->count + 1);
	for (size_t i = 0; i < fresh->count; i++) {
		struct followed state = {.is_old = !follower->is_listed};

		while (k < follower->list.count &&
		       mbj_id_compare(follower->list.accounts[k].id,
				      fresh->accounts[i].id) < 0)
			k++;
		if (k < follower->list.count &&
		    mbj_id_equal(follower->list.accounts[k].id,
				 fresh->accounts[i].id)) {
			state = *array_idx(&follower->states, k);
			/* One that has news does not wait for the old. */
			if (fresh->accounts[i].lsn.v !=
			    follower->list.accounts[k].lsn.v)
				state.is_old = false;
			/* The store went back: nothing is known of it. */
			if (fresh->accounts[i].lsn.v < state.applied)
				state = (struct followed){.is_old = true};
			else if (is_other_reign &&
				 fresh->accounts[i].lsn.v == state.applied)
				state.is_old = true;
		}
		array_push_back(&states, &state);
	}
	mbj_client_accounts_done(&follower->list);
	follower->list = *fresh;
	array_free(&follower->states);
	follower->states = states;
	follower->is_listed = true;
}

/* -------------------------------------------------------------- the store */

static void follower_lose(struct follower *follower,
			  const struct mbj_error *err)
{
	if (!follower->is_away)
		i_error("mbj: the service is waited for: %s", err->message);
	follower->is_away = true;
	mbj_client_close(&follower->client);
}

static enum mbj_rc follower_connect(struct follower *follower,
				    struct mbj_error *err)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	enum mbj_rc rc;

	if (follower->client != NULL)
		return MBJ_OK;
	options.timeout_ms = FOLLOW_TIMEOUT_MS;
	options.connections_max = 1;
	rc = mbj_client_connect(follower->socket, &options, &follower->client,
				err);
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_error_set(err, MBJ_EIO, "nobody listens at %s",
				   follower->socket);
	return rc;
}

static enum mbj_rc news_read(struct follower *follower, bool *ret_is_news,
			     struct mbj_error *err)
{
	struct mbj_client_accounts fresh = {.count = 0};
	struct mbj_client_status status;
	int64_t begin = mbj_monotonic_ms();
	struct mbj_identity identity;
	bool is_other_reign;
	uint64_t applied;
	enum mbj_rc rc;

	*ret_is_news = false;
	memset(&status, 0, sizeof(status));
	rc = follower_connect(follower, err);
	if (rc == MBJ_OK)
		rc = mbj_client_status(follower->client, &status, err);
	identity = status.identity;
	applied = status.applied.lsn.v;
	mbj_client_status_done(&status);
	if (rc < 0)
		return rc;
	is_other_reign = follower->epoch.v != identity.epoch.v ||
			 !mbj_id_equal(follower->owner, identity.epoch_owner);
	if (follower->is_listed && applied == follower->listed &&
	    !is_other_reign)
		return MBJ_OK;
	rc = mbj_client_accounts(follower->client, &fresh, err);
	if (rc < 0)
		return rc;
	list_take(follower, &fresh, is_other_reign);
	follower->listed = applied;
	follower->epoch = identity.epoch;
	follower->owner = identity.epoch_owner;
	follower->list_ms =
		mbj_monotonic_ms() + (mbj_monotonic_ms() - begin) * LIST_COST;
	*ret_is_news = true;
	return MBJ_OK;
}

/* Returns: there may be somebody in the queue. */
static bool follower_look(struct follower *follower)
{
	struct mbj_error err;
	bool is_news;

	if (mbj_monotonic_ms() < follower->list_ms)
		return false;
	if (news_read(follower, &is_news, &err) < 0) {
		follower_lose(follower, &err);
		return false;
	}
	if (follower->is_away)
		i_info("mbj: the service is there again");
	follower->is_away = false;
	if (!is_news)
		return false;
	queue_fill(follower);
	return true;
}

/* ------------------------------------------------------------------ next */

/* A run of it begins: it has failed, until it is said that it has not. */
static void follower_begin(struct follower *follower, unsigned int i,
			   const char **ret_account)
{
	struct followed *state = array_idx_modifiable(&follower->states, i);
	struct mbj_bytes name = follower->list.accounts[i].name;

	state->is_old = false;
	state->tried = follower->list.accounts[i].lsn.v;
	state->retry_in = state->retry_in == 0 ? RETRY_FIRST_MS
			  : state->retry_in < RETRY_LAST_MS / 2
				  ? state->retry_in * 2
				  : RETRY_LAST_MS;
	state->retry_ms = mbj_monotonic_ms() + state->retry_in;
	follower->current = i;
	/* Not on the data stack, which nobody cleans between two users. */
	i_free(follower->name);
	follower->name = i_strndup(name.p, name.n);
	*ret_account = follower->name;
}

static bool news_take(struct follower *follower, const char **ret_account)
{
	if (follower->queue_at >= array_count(&follower->queue))
		return false;
	follower_begin(follower,
		       *array_idx(&follower->queue, follower->queue_at++),
		       ret_account);
	return true;
}

static bool old_take(struct follower *follower, const char **ret_account)
{
	while (follower->old_at < array_count(&follower->old)) {
		unsigned int i = *array_idx(&follower->old, follower->old_at++);
		const struct followed *state = array_idx(&follower->states, i);

		if (!state->is_old)
			continue;
		follower_begin(follower, i, ret_account);
		return true;
	}
	return false;
}

/*
 * Those with news, and between each two of them one that has been there from
 * the start: whose news would wait for as long as others' come fast.
 */
static bool follower_take(struct follower *follower, const char **ret_account)
{
	bool is_old_next = follower->is_old_next;

	follower->is_old_next = false;
	if (is_old_next && old_take(follower, ret_account))
		return true;
	if (news_take(follower, ret_account)) {
		follower->is_old_next = true;
		return true;
	}
	return old_take(follower, ret_account);
}

static bool has_retry(const struct follower *follower)
{
	int64_t now = mbj_monotonic_ms();

	for (unsigned int i = 0; i < array_count(&follower->states); i++) {
		const struct followed *state = array_idx(&follower->states, i);

		if (state->retry_in > 0 &&
		    is_due(state, follower->list.accounts[i].lsn.v, now))
			return true;
	}
	return false;
}

bool follower_next(struct follower *follower, const char **ret_account)
{
	while (!doveadm_is_killed()) {
		/* Whose time has come again waits for none of the old. */
		if (follower->queue_at >= array_count(&follower->queue) &&
		    !follower_look(follower) && !follower->is_away &&
		    has_retry(follower))
			queue_fill(follower);
		/* Dovecot's clock stands still without its loop. */
		io_loop_time_refresh();
		if (!follower->is_away && follower_take(follower, ret_account))
			return true;
		wait_ms(follower->is_away ? AWAY_MS : POLL_MS);
	}
	return false;
}

void follower_applied(struct follower *follower, struct mbj_lsn lsn)
{
	struct followed *state =
		array_idx_modifiable(&follower->states, follower->current);

	state->applied = lsn.v;
	state->retry_in = 0;
}
