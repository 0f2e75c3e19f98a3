/*
 * A connection to an IMAP server: libcurl has the connection, TLS and the login
 * (any that it knows), what is said after that is ours.
 *
 * imaps:// is TLS; imap:// begins with STARTTLS, which is demanded, but for a
 * server on this host.  Certificates are verified.  A password comes from a
 * file or from MBJ_PUSH_PASSWORD, never from the command line.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_PUSH_WIRE_H
#define MBJ_CLI_PUSH_WIRE_H

#include <mbj/imap.h>

struct push_login {
	const char *url;	   /* imaps://USER@HOST[:PORT] */
	const char *ca_file;	   /* NULL: the system's */
	const char *password_file; /* NULL: MBJ_PUSH_PASSWORD */
	struct mbj_buf secret;	   /* once it was read */
};

struct push_wire {
	void *curl;
	bool is_gone;	  /* the connection, and not by us */
	uint32_t tag;	  /* of the last command */
	int64_t began_ms; /* that one, by the monotonic clock */
	struct mbj_imap_reader reader;
	struct mbj_buf strings; /* that the last response borrows */
	struct mbj_buf text;	/* of the last command */
	char command[512];	/* its text, escaped, for messages */
};

/* "USER@HOST:PORT", which says whose mailboxes they are.  MBJ_EINVALID. */
enum mbj_rc push_wire_target(const char *url, struct mbj_buf *ret_target,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* In the environment, where no file has it. */
enum mbj_rc push_wire_has_secret(struct mbj_error *err) MBJ_MUST_CHECK;
/* Before the first connection: who gives it by a pipe gives it once. */
enum mbj_rc push_wire_secret(struct push_login *login,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_wire_open(const struct push_login *login,
			   struct push_wire *wire,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that was never opened, if it is zero. */
void push_wire_close(struct push_wire *wire);
/* A command without its tag and CRLF. */
enum mbj_rc push_wire_send(struct push_wire *wire,
			   const struct mbj_buf *command,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What the server says next; TAGGED is the end of the command, OK or not.
 * Returns: MBJ_EIO (the connection ended, or nothing came for two minutes).
 */
enum mbj_rc push_wire_next(struct push_wire *wire,
			   struct mbj_imap_response *ret_response,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A command that ends with size bytes of a literal, which is not announced at
 * its end yet; what read gives goes, a piece at a time.  is_waiting: the server
 * is asked first whether it takes them (else RFC 7888, which it must know).
 * *ret_end is its end, borrowed until the next response.
 * Returns: MBJ_EIO where read gives other than size bytes: the connection is of
 * no use any more, and what was begun never ends.
 */
typedef enum mbj_rc push_read_fn(void *context, void *p, size_t n,
				 size_t *ret_got, struct mbj_error *err);
enum mbj_rc push_wire_literal(struct push_wire *wire,
			      const struct mbj_buf *command, uint64_t size,
			      bool is_waiting, push_read_fn *read,
			      void *context, struct mbj_imap_response *ret_end,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* What the end says: MBJ_ECONFLICT, naming command and answer, but for OK. */
enum mbj_rc push_wire_judge(const struct push_wire *wire,
			    const struct mbj_imap_response *end,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Send it, pass over everything but its end, and judge that. */
enum mbj_rc push_wire_run(struct push_wire *wire, const struct mbj_buf *command,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
