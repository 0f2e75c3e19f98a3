/*
 * What the records of the source's state sum to: who compares a replica asks.
 *
 * The state is its owner's, and a sender is another process: the service is
 * asked, as any client asks it, and what it answers goes as it is.
 *
 * Threads: one.
 */
#include <stdio.h>

#include <mbj/service.h>

#include "stream_serve.h"

/* Which store, in words. */
struct identity_text {
	char text[160];
};

static const char *identity_print(const struct mbj_identity *identity,
				  struct identity_text *ret)
{
	char instance[MBJ_ID_TEXT_SIZE];
	char lineage[MBJ_ID_TEXT_SIZE];

	mbj_id_print(identity->instance, instance);
	mbj_id_print(identity->lineage, lineage);
	(void)snprintf(ret->text, sizeof(ret->text),
		       "%s %s of lineage %s in reign %llu",
		       mbj_store_role_name(identity->role), instance, lineage,
		       (unsigned long long)identity->epoch.v);
	return ret->text;
}

/* The store of the files that are sent, as it stands there. */
static enum mbj_rc service_check(struct stream_server *s, struct mbj_error *err)
{
	const struct mbj_identity *files = &s->identity;
	struct mbj_identity served;
	struct identity_text a, b;
	enum mbj_rc rc;

	mbj_client_identity_copy(s->service, &served);
	if (mbj_id_equal(served.instance, files->instance) &&
	    mbj_id_equal(served.lineage, files->lineage) &&
	    mbj_id_equal(served.epoch_owner, files->epoch_owner) &&
	    served.epoch.v == files->epoch.v && served.role == files->role)
		return MBJ_OK;
	/* Both may be what those files became meanwhile. */
	rc = stream_identity_check(s, err);
	if (rc < 0)
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "the service at %.100s has another store than "
			     "the files that are sent: it has %s, they are of "
			     "%s: mbj send --socket is to name their service",
			     s->service_path != NULL ? s->service_path : s->dir,
			     identity_print(&served, &a),
			     identity_print(files, &b));
}

static enum mbj_rc service_meet(struct stream_server *s, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_OK;

	if (s->service != NULL)
		return MBJ_OK;
	if (s->service_path == NULL)
		rc = mbj_path_join(path, s->dir, MBJ_SERVICE_SOCKET, err);
	if (rc == MBJ_OK)
		rc = mbj_client_connect(s->service_path != NULL
						? s->service_path
						: path,
					NULL, &s->service, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	return mbj_error_set(err, MBJ_EBUSY,
			     "nobody serves the source's store, and a state is "
			     "read through its service: begin mbj serve there");
}

/* Its answer, of the store that it had when it answered. */
static enum mbj_rc service_ask(struct stream_server *s,
			       struct mbj_client_survey *ret_survey,
			       struct mbj_error *err)
{
	struct mbj_survey_question question;
	enum mbj_rc rc;

	rc = mbj_survey_question_decode(s->request.survey, &question, err);
	if (rc == MBJ_OK)
		rc = service_meet(s, err);
	if (rc == MBJ_OK)
		rc = service_check(s, err);
	if (rc == MBJ_OK)
		rc = mbj_client_survey(s->service, &question, ret_survey, err);
	/* Another one may have come to that socket meanwhile. */
	if (rc == MBJ_OK)
		rc = service_check(s, err);
	/* The right one may come, too. */
	if (rc == MBJ_EFENCED)
		mbj_client_close(&s->service);
	return rc;
}

enum mbj_rc stream_survey_answer(struct stream_server *s, struct mbj_error *err)
{
	struct mbj_client_survey survey = {.answer = {.count = 0}};
	struct stream_message answer = {.count = 0};
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	if (s->version < STREAM_VERSION_SURVEY)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the replica asked for a survey, which "
				     "version %u of the stream has not",
				     s->version);
	stream_why_note(stream_identity_check(s, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(service_ask(s, &survey, &said), &said, &why);
	answer.survey = mbj_buf_view(&survey.bytes);
	rc = why.rc != MBJ_OK ? stream_fault_send(s, &why, err)
			      : stream_link_send(&s->link, STREAM_SURVEYED,
						 &answer, err);
	mbj_client_survey_done(&survey);
	return rc;
}
