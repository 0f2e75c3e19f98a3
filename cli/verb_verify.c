/*
 * mbj verify: compare two stores, account by account.
 *
 * A replica that lags is not equal, however right what it has is; parked
 * accounts, and those of which groups were given up, are expected to differ,
 * and are told apart.  With --deep the
 * contents of messages are read, too: a replica whose tree is equal and whose
 * mail is not there is no replica.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include <mbj/jmap.h>
#include <mbj/replay.h>
#include <mbj/verify.h>

#include "cli.h"
#include "contents.h"
#include "verify.h"

void verify_count_add(struct verify_count *count,
		      const struct mbj_difference *difference)
{
	if (difference->kind == MBJ_DIFFERENCE_ACCOUNT_PARKED ||
	    difference->kind == MBJ_DIFFERENCE_ACCOUNT_SKIPPED)
		count->account_parked = difference->account;
	if (difference->kind == MBJ_DIFFERENCE_ACCOUNT_BUSY)
		count->busy++;
	else if (mbj_id_equal(count->account_parked, difference->account))
		count->parked++;
	else
		count->real++;
}

void verify_put(struct mbj_buf *out, bool is_json, bool is_first,
		const struct mbj_difference *difference)
{
	char account[MBJ_ID_TEXT_SIZE];
	char mailbox[MBJ_ID_TEXT_SIZE];

	mbj_id_print(difference->account, account);
	mbj_id_print(difference->mailbox, mailbox);
	if (!is_json) {
		mbj_buf_format(out, "%s %s%s%s: %s\n",
			       mbj_difference_name(difference->kind),
			       difference->account_name,
			       mbj_id_is_root(difference->mailbox) ? "" : " ",
			       mbj_id_is_root(difference->mailbox) ? ""
								   : mailbox,
			       difference->text);
		return;
	}
	mbj_buf_format(out, "%s{\"kind\":\"%s\",\"accountId\":\"%s\",",
		       is_first ? "" : ",",
		       mbj_difference_name(difference->kind), account);
	mbj_buf_put_str(out, "\"account\":");
	mbj_jmap_string_print(mbj_bytes_str(difference->account_name), out);
	if (!mbj_id_is_root(difference->mailbox))
		mbj_buf_format(out, ",\"mailboxId\":\"%s\"", mailbox);
	mbj_buf_put_str(out, ",\"text\":");
	mbj_jmap_string_print(mbj_bytes_str(difference->text), out);
	mbj_buf_put_str(out, "}");
}

/* The contents of one store that are not as they should be. */
static enum mbj_rc put_contents(const struct cli_call *call,
				struct mbj_store *store, const char *dir,
				struct verify_count *count, struct mbj_buf *out,
				struct mbj_error *err)
{
	struct contents contents;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = contents_begin(&contents, store, dir, true, err);
	while (rc == MBJ_OK) {
		rc = contents_next_fault(&contents, &why, err);
		if (rc < 0)
			break;
		if (call->options.is_json) {
			mbj_buf_put_str(out, count->contents == 0
						     ? "{\"store\":"
						     : ",{\"store\":");
			mbj_jmap_string_print(mbj_bytes_str(dir), out);
			mbj_buf_put_str(out, ",\"text\":");
			mbj_jmap_string_print(mbj_bytes_str(why.message), out);
			mbj_buf_put_str(out, "}");
		} else {
			mbj_buf_format(out, "content of %s: %s\n", dir,
				       why.message);
		}
		count->contents++;
	}
	contents_end(&contents);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static int verify_status(const struct mbj_verify_totals *totals,
			 const struct verify_count *count)
{
	if (count->contents > 0)
		return CLI_CORRUPT;
	if (count->real > 0 || totals->first.v != totals->second.v)
		return CLI_REFUSED;
	return count->parked > 0 ? CLI_PARTIAL : CLI_OK;
}

const char *verify_word(int status)
{
	return status == CLI_OK	       ? "equal"
	       : status == CLI_PARTIAL ? "partial"
	       : status == CLI_CORRUPT ? "damaged"
				       : "different";
}

static int verify_report(const struct cli_call *call,
			 const struct mbj_verify_totals *totals,
			 const struct verify_count *count, struct mbj_buf *out)
{
	int status = verify_status(totals, count);
	int written;

	if (call->options.is_json)
		mbj_buf_format(out,
			       "],\"accounts\":%" PRIu64
			       ",\"accountsParked\":%" PRIu64
			       ",\"accountsSkipped\":%" PRIu64
			       ",\"first\":%" PRIu64 ",\"second\":%" PRIu64
			       ",\"equal\":%s}\n",
			       totals->accounts, totals->accounts_parked,
			       totals->accounts_skipped, totals->first.v,
			       totals->second.v,
			       status == CLI_OK ? "true" : "false");
	else if (status == CLI_OK)
		mbj_buf_format(out,
			       "%s: %" PRIu64 " accounts at group %" PRIu64
			       "\n",
			       verify_word(status), totals->accounts,
			       totals->first.v);
	else
		mbj_buf_format(out,
			       "%s: %" PRIu64 " accounts, %" PRIu64
			       " parked, %" PRIu64
			       " known to differ; groups %" PRIu64
			       " and %" PRIu64 "\n",
			       verify_word(status), totals->accounts,
			       totals->accounts_parked,
			       totals->accounts_skipped, totals->first.v,
			       totals->second.v);
	written = cli_write_done(call, out);
	if (totals->first.v != totals->second.v)
		cli_say(call,
			"the stores stand at different groups, %" PRIu64
			" and %" PRIu64 ": replay first",
			totals->first.v, totals->second.v);
	if (count->contents > 0)
		cli_say(call,
			"%" PRIu64 " contents of messages are missing or "
			"damaged",
			count->contents);
	return written != CLI_OK ? written : status;
}

/* The contents of both; a store without a lineage has none. */
static enum mbj_rc verify_contents(const struct cli_call *call,
				   struct mbj_store *const stores[2],
				   struct verify_count *count,
				   struct mbj_buf *out, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (call->options.is_json)
		mbj_buf_put_str(out, "],\"contents\":[");
	for (int i = 0; rc == MBJ_OK && i < 2; i++) {
		if (!mbj_id_is_root(mbj_store_identity(stores[i])->lineage))
			rc = put_contents(call, stores[i], call->operands[i],
					  count, out, err);
	}
	return rc;
}

static int verify_run(const struct cli_call *call, struct mbj_store *first,
		      struct mbj_store *second)
{
	bool is_json = call->options.is_json;
	struct verify_count count = {.account_parked = MBJ_ID_TEMP};
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_verify_totals totals;
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, VERIFY_OUTPUT_MAX);
	if (is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.verify/1\","
				      "\"differences\":[");
	rc = mbj_verify_begin(first, second, &verify, &err);
	if (rc != MBJ_OK) {
		mbj_buf_done(&out);
		return cli_fail(call, &err);
	}
	while (rc == MBJ_OK) {
		rc = mbj_verify_next(verify, &difference, &err);
		if (rc < 0)
			break;
		verify_put(&out, is_json, count.real + count.parked == 0,
			   &difference);
		verify_count_add(&count, &difference);
	}
	mbj_verify_totals_get(verify, &totals);
	mbj_verify_end(&verify);
	if (rc == MBJ_ENOTFOUND && call->options.is_deep) {
		rc = verify_contents(call,
				     (struct mbj_store *[]){first, second},
				     &count, &out, &err);
		rc = rc == MBJ_OK ? MBJ_ENOTFOUND : rc;
	}
	if (rc == MBJ_ENOTFOUND)
		return verify_report(call, &totals, &count, &out);
	mbj_buf_done(&out);
	return cli_fail(call, &err);
}

/* Same lineage, or one of them has none yet (then it is merely behind). */
static int verify_lineage(const struct cli_call *call, struct mbj_store *first,
			  struct mbj_store *second)
{
	const struct mbj_identity *a = mbj_store_identity(first);
	const struct mbj_identity *b = mbj_store_identity(second);
	struct mbj_error err;

	if (mbj_id_equal(a->lineage, b->lineage) ||
	    mbj_id_is_root(a->lineage) || mbj_id_is_root(b->lineage))
		return CLI_OK;
	(void)mbj_error_set(&err, MBJ_EFENCED,
			    "%s and %s are of different lineages: copies of "
			    "different stores",
			    call->operands[0], call->operands[1]);
	return cli_fail(call, &err);
}

/* One directory under two names would wait for its own lock. */
static bool is_one_store(const char *first, const char *second)
{
	struct stat a;
	struct stat b;

	return stat(first, &a) == 0 && stat(second, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int verb_verify(const struct cli_call *call)
{
	struct mbj_store *first = NULL;
	struct mbj_store *second = NULL;
	struct mbj_error err;
	int status;

	if (call->options.exec != NULL || call->options.from_address != NULL)
		return verify_far(call);
	if (call->operand_count != 2) {
		cli_say(call, "two stores, or a replica and --from or --exec "
			      "for its source; see: mbj help verify");
		return CLI_USAGE;
	}
	if (is_one_store(call->operands[0], call->operands[1])) {
		(void)mbj_error_set(&err, MBJ_EINVALID,
				    "%s and %s are one store: name two",
				    call->operands[0], call->operands[1]);
		return cli_fail(call, &err);
	}
	if (mbj_replica_open(call->operands[0], NULL, &first, &err) < 0)
		return cli_fail(call, &err);
	if (mbj_replica_open(call->operands[1], NULL, &second, &err) < 0) {
		status = cli_fail(call, &err);
		goto out;
	}
	status = verify_lineage(call, first, second);
	if (status == CLI_OK)
		status = verify_run(call, first, second);
out:
	mbj_store_close(&second);
	mbj_store_close(&first);
	return status;
}
