/*
 * mirror PRIMARY REPLICA
 *
 * A replica takes what it lacks, and is compared with its primary, account by
 * account.  PRIMARY may be in use meanwhile: only its journal is read for the
 * replay.  Exit status 0: equal; 1: not, or an error.
 */
#include <stdio.h>

#include <mbj/mbj.h>

static enum mbj_rc compare(const char *primary_dir, struct mbj_store *replica,
			   uint64_t *ret_differences, struct mbj_error *err)
{
	struct mbj_store *primary = NULL;
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_verify_totals totals;
	enum mbj_rc rc;

	rc = mbj_store_open(primary_dir, NULL, &primary, err);
	if (rc == MBJ_OK)
		rc = mbj_verify_begin(primary, replica, &verify, err);
	while (rc == MBJ_OK) {
		rc = mbj_verify_next(verify, &difference, err);
		if (rc == MBJ_OK)
			(void)printf("%s: %s %s\n", difference.account_name,
				     mbj_difference_name(difference.kind),
				     difference.text);
	}
	if (rc == MBJ_ENOTFOUND) { /* no more */
		mbj_verify_totals_get(verify, &totals);
		(void)printf("%llu accounts, %llu differences\n",
			     (unsigned long long)totals.accounts,
			     (unsigned long long)totals.differences);
		*ret_differences = totals.differences;
		rc = MBJ_OK;
	}
	mbj_verify_end(&verify);
	mbj_store_close(&primary);
	return rc;
}

int main(int argc, char **argv)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *replica = NULL;
	uint64_t differences = 1;
	struct mbj_error err;
	enum mbj_rc rc;

	if (argc != 3) {
		(void)fprintf(stderr, "mirror PRIMARY REPLICA\n");
		return 2;
	}
	rc = mbj_replica_open(argv[2], NULL, &replica, &err);
	if (rc == MBJ_OK)
		rc = mbj_replay_journal(replica, argv[1], &options, &result,
					&err);
	/* An account that does not fit waits alone; the others go on. */
	if (rc == MBJ_OK)
		(void)printf("at group %llu, %llu accounts parked\n",
			     (unsigned long long)result.applied.v,
			     (unsigned long long)result.accounts_parked);
	if (rc == MBJ_OK)
		rc = compare(argv[1], replica, &differences, &err);
	mbj_store_close(&replica);
	if (rc < 0)
		(void)fprintf(stderr, "mirror: %s\n", err.message);
	return rc < 0 || differences > 0;
}
