/*
 * TLS over a descriptor: version 1.3 alone, both sides with certificates of a
 * CA that both have, pinned to a store's lineage and a role (tls_name.h).  Host
 * names are not looked at: whoever has the certificate of a source of this
 * store is one, wherever it is.
 *
 * A directory has what one side needs, as PEM:
 *
 *	ca.crt	who issues both sides' certificates
 *	tls.crt	ours, with what is between it and the CA
 *	tls.key	its key, without a passphrase, for nobody else to read
 *
 * Invariants:
 *   1. nothing of the stream is read or written before both sides have proven
 *      who they are;
 *   2. no session is resumed, no data comes early, nothing is compressed;
 *   3. only a goodbye (close_notify) is an end in good order.
 *
 * Not here: revocation.  A key that got out is mended by another CA.
 *
 * The only files with <openssl/ssl.h> are tls*.c.
 *
 * Requires: SIGPIPE is ignored.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_CLI_TLS_H
#define MBJ_CLI_TLS_H

#include <mbj/stream.h>

#include "tls_name.h"

#define TLS_CA_NAME	     "ca.crt"
#define TLS_CERTIFICATE_NAME "tls.crt"
#define TLS_KEY_NAME	     "tls.key"

/* What one side is. */
struct tls;

/*
 * role: ours, TLS_SOURCE or TLS_REPLICA.
 * Returns: MBJ_EINVALID (no such thing in a file), MBJ_EFENCED (a key that
 * others may read, a certificate for something else or out of its time),
 * MBJ_ENOTFOUND, MBJ_EIO, naming the file.
 */
enum mbj_rc tls_open(const char *dir, enum tls_role role, struct tls **ret_tls,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same, but that our own certificate is out of its time is for
 * tls_own_check to say: who shows it all the same has the peer say so, too.
 */
enum mbj_rc tls_open_late(const char *dir, enum tls_role role,
			  struct tls **ret_tls,
			  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc tls_own_check(const struct tls *tls,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Idempotent. */
void tls_close(struct tls **tls);
const struct tls_name *tls_own(const struct tls *tls);

/* A connection on which both sides have met. */
struct tls_session;

/*
 * Meet the peer within wait_ms, or until stop_fd (-1: none) is readable.  fd,
 * which is made not to block, stays the caller's; tls, too, until the end.
 * Returns: MBJ_EFENCED (one side refuses the other), MBJ_ENOTFOUND (it hung up
 * before it said anything), MBJ_EBUSY (told to stop), MBJ_EIO (no TLS 1.3, too
 * late, gone).
 * The peer has been told what TLS can tell.
 */
enum mbj_rc tls_meet(const struct tls *tls, int fd, int stop_fd,
		     int64_t wait_ms, struct tls_session **ret_session,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/* Say goodbye, as far as that goes at once.  Idempotent. */
void tls_part(struct tls_session **session);
/*
 * The peer's name for the other role.  A replica has met nobody else than a
 * source of its own lineage; to a source anybody of its CA may have come.
 * Returns: MBJ_EFENCED: its certificate is for something else.
 */
enum mbj_rc tls_peer(const struct tls_session *session,
		     struct tls_name *ret_name,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/* Valid until the end of the session. */
struct mbj_stream_channel tls_channel(struct tls_session *session);

#endif
