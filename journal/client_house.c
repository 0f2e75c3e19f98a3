/*
 * Keeping house through a client.
 */
#include "client_impl.h"

enum mbj_rc mbj_client_snapshot(struct mbj_client *client,
				struct mbj_snapshot_result *ret_result,
				struct mbj_error *err)
{
	struct wire_message request = {0};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_call(client, WIRE_SNAPSHOT, &request, &answer, err);
	if (rc == MBJ_OK)
		*ret_result = answer.message.snapshot;
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_trim(struct mbj_client *client,
			    const struct mbj_trim_options *options,
			    struct mbj_trim_result *ret_result,
			    struct mbj_error *err)
{
	struct wire_message request = {.keep = *options};
	struct answer answer;
	enum mbj_rc rc;

	if (options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the options of a trim have another size "
				     "here: built against other headers");
	rc = client_call(client, WIRE_TRIM, &request, &answer, err);
	if (rc == MBJ_OK)
		*ret_result = answer.message.trim;
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_collect(struct mbj_client *client, bool is_dry_run,
			       struct mbj_collect_result *ret_result,
			       struct mbj_error *err)
{
	struct wire_message request = {.is_dry_run = is_dry_run};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_call(client, WIRE_COLLECT, &request, &answer, err);
	if (rc == MBJ_OK)
		*ret_result = answer.message.collected;
	answer_done(&answer);
	return rc;
}
