/*
 * append STORE ACCOUNT MAILBOX < MESSAGE
 *
 * A delivery: the bytes of a message, and with them the edit that gives them a
 * UID.
 * STORE is a store, or the socket of its service: the calls are the same.
 */
#include <stdio.h>
#include <unistd.h>

#include <mbj/mbj.h>

/* The content is on disk before the edit's group is. */
static enum mbj_rc input_submit(struct mbj_client *client,
				const struct mbj_edit *edit,
				struct mbj_outcome *ret_outcome,
				struct mbj_error *err)
{
	struct mbj_body_writer *body = NULL;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_body_begin(client, &body, err);
	if (rc == MBJ_OK)
		rc = mbj_body_write_fd(body, STDIN_FILENO, "standard input",
				       &size, err);
	if (rc == MBJ_OK)
		rc = mbj_body_submit(&body, edit, ret_outcome, err);
	mbj_body_abort(&body);
	return rc;
}

static enum mbj_rc append(struct mbj_client *client, const char *account,
			  const char *path, struct mbj_error *err)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.flags = MBJ_FLAG_FLAGGED};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_place place;
	enum mbj_rc rc;

	rc = mbj_client_mailbox(client, mbj_bytes_str(account),
				mbj_bytes_str(path), false, &place, err);
	if (rc < 0)
		return rc;
	step.mailbox = place.mailbox.id;
	step.time = mbj_sys_posix()->now_us(mbj_sys_posix()->ctx) / 1000000;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(account);
	edit.messages = &step;
	edit.message_count = 1;
	rc = input_submit(client, &edit, &outcome, err);
	/* APPENDUID of RFC 4315; what was answered outlives a power cut. */
	if (rc == MBJ_OK)
		(void)printf("UIDVALIDITY %u UID %u, group %llu\n",
			     outcome.messages[0].uidvalidity,
			     outcome.messages[0].uid,
			     (unsigned long long)outcome.lsn.v);
	mbj_outcome_done(&outcome);
	return rc;
}

int main(int argc, char **argv)
{
	struct mbj_client *client = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	if (argc != 4) {
		(void)fprintf(stderr, "append STORE ACCOUNT MAILBOX\n");
		return 2;
	}
	rc = mbj_client_open(argv[1], &client, &err);
	if (rc == MBJ_OK)
		rc = append(client, argv[2], argv[3], &err);
	mbj_client_close(&client);
	if (rc < 0)
		(void)fprintf(stderr, "append: %s\n", err.message);
	return rc < 0;
}
