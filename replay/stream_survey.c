/*
 * What the records of the source's state sum to: who compares a replica asks.
 *
 * The state is its owner's, and a sender is another process: the service is
 * asked, as any client asks it, and what it answers goes as it is.
 *
 * Threads: one.
 */
#include <mbj/service.h>

#include "stream_serve.h"

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

enum mbj_rc stream_survey_answer(struct stream_server *s, struct mbj_error *err)
{
	struct mbj_client_survey survey = {.answer = {.count = 0}};
	struct stream_message answer = {.count = 0};
	struct mbj_survey_question question;
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
		stream_why_note(service_meet(s, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(mbj_survey_question_decode(s->request.survey,
							   &question, &said),
				&said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(mbj_client_survey(s->service, &question,
						  &survey, &said),
				&said, &why);
	if (why.rc != MBJ_OK)
		return stream_fault_send(s, &why, err);
	answer.survey = mbj_buf_view(&survey.bytes);
	rc = stream_link_send(&s->link, STREAM_SURVEYED, &answer, err);
	mbj_client_survey_done(&survey);
	return rc;
}
