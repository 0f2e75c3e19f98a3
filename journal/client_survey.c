/*
 * What an account's records sum to, through a client.
 */
#include "client_impl.h"

/* Apart: two messages of the wire are much for one stack. */
__attribute__((noinline)) static enum mbj_rc
survey_ask(struct mbj_client *client, struct mbj_bytes asked,
	   struct answer *ret_answer, struct mbj_error *err)
{
	struct wire_message request = {.survey = asked};

	return client_call(client, WIRE_SURVEY, &request, ret_answer, err);
}

enum mbj_rc mbj_client_survey(struct mbj_client *client,
			      const struct mbj_survey_question *question,
			      struct mbj_client_survey *ret_survey,
			      struct mbj_error *err)
{
	struct mbj_buf asked;
	struct answer answer;
	enum mbj_rc rc;

	mbj_buf_init(&asked, MBJ_SURVEY_QUESTION_MAX);
	mbj_survey_question_encode(&asked, question);
	answer_init(&answer);
	rc = mbj_buf_ok(&asked, err);
	if (rc == MBJ_OK)
		rc = survey_ask(client, mbj_buf_view(&asked), &answer, err);
	if (rc == MBJ_OK)
		rc = mbj_survey_answer_decode(answer.message.survey,
					      &ret_survey->answer, err);
	if (rc == MBJ_OK) {
		ret_survey->bytes = answer.body;
		mbj_buf_init(&answer.body, 0);
	}
	answer_done(&answer);
	mbj_buf_done(&asked);
	return rc;
}

void mbj_client_survey_done(struct mbj_client_survey *survey)
{
	mbj_buf_done(&survey->bytes);
	*survey = (struct mbj_client_survey){.answer = {.count = 0}};
}
