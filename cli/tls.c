/*
 * TLS by OpenSSL; see tls.h.
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <mbj/memory.h>
#include <mbj/sys.h>

#include "tls_file.h"

enum {
	CHAIN_MAX = 4,
	LINGER_MS = 1000,
	LINGER_SIZE = 64 << 10,
	LINGER_PIECE = 4096,
};

struct tls {
	SSL_CTX *ctx;
	enum tls_role role;
	struct tls_name own;
	struct mbj_error late; /* our certificate is, or MBJ_OK */
};

struct tls_session {
	SSL *ssl;
	const struct tls *tls;
	int fd;
	bool is_met;
	bool is_failed;
	struct mbj_error why; /* we refuse the peer's certificate, or MBJ_OK */
};

static enum tls_role other_role(enum tls_role role)
{
	return role == TLS_SOURCE ? TLS_REPLICA : TLS_SOURCE;
}

/* ---------------------------------------------------------------- the peer */

/* For what role, and of the other side's own lineage? */
static enum mbj_rc peer_judge(const struct tls *tls, const X509 *certificate,
			      struct tls_name *ret_name, struct mbj_error *err)
{
	const char *role = tls_role_word(other_role(tls->role));
	char subject[TLS_SUBJECT_SIZE];
	char lineage[MBJ_ID_TEXT_SIZE];

	tls_subject_print(certificate, subject);
	if (!tls_name_find(certificate, other_role(tls->role), ret_name))
		return mbj_error_set(err, MBJ_EFENCED,
				     "the %s's certificate (%s) is not for a "
				     "%s",
				     role, subject, role);
	if (mbj_id_equal(ret_name->lineage, tls->own.lineage))
		return MBJ_OK;
	mbj_id_print(tls->own.lineage, lineage);
	return mbj_error_set(err, MBJ_EFENCED,
			     "the %s's certificate (%s) is for another store: "
			     "the %s's is for lineage %s",
			     role, subject, tls_role_word(tls->role), lineage);
}

/*
 * What is wrong with a chain, in words that name the certificate; and, for a
 * replica, what its source has to be.  A source says the like in the stream,
 * where it can say more than TLS can.
 */
static int peer_verify(int is_good, X509_STORE_CTX *chain)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	const X509 *certificate = X509_STORE_CTX_get_current_cert(chain);
	struct tls_session *session = SSL_get_app_data(ssl);
	char subject[TLS_SUBJECT_SIZE] = "none";
	char what[TLS_SUBJECT_SIZE + 64];
	struct tls_name name;

	if (certificate != NULL)
		tls_subject_print(certificate, subject);
	(void)snprintf(what, sizeof(what), "the %s's certificate (%s)",
		       tls_role_word(other_role(session->tls->role)), subject);
	if (is_good != 1) {
		if (certificate == NULL ||
		    tls_time_check(what, certificate, &session->why) == MBJ_OK)
			(void)mbj_error_set(&session->why, MBJ_EFENCED,
					    "%s is refused: %s", what,
					    X509_verify_cert_error_string(
						    X509_STORE_CTX_get_error(
							    chain)));
		return 0;
	}
	if (X509_STORE_CTX_get_error_depth(chain) != 0 ||
	    session->tls->role != TLS_REPLICA ||
	    peer_judge(session->tls, certificate, &name, &session->why) ==
		    MBJ_OK)
		return 1;
	X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED);
	return 0;
}

enum mbj_rc tls_peer(const struct tls_session *session,
		     struct tls_name *ret_name, struct mbj_error *err)
{
	return peer_judge(session->tls, SSL_get0_peer_certificate(session->ssl),
			  ret_name, err);
}

/* -------------------------------------------------------------- what we are */

static bool context_set(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION |
					       SSL_OP_NO_TICKET |
					       SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(ctx,
			       SSL_MODE_ENABLE_PARTIAL_WRITE |
				       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx,
			   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   peer_verify);
	SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

static enum mbj_rc ca_add(SSL_CTX *ctx, const char *dir, X509 *ca,
			  struct mbj_error *err)
{
	if (X509_check_ca(ca) == 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s/%s has a certificate of no CA", dir,
				     TLS_CA_NAME);
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1 ||
	    SSL_CTX_add_client_CA(ctx, ca) != 1)
		return tls_file_bad(err, dir, TLS_CA_NAME,
				    "certificate of a CA");
	return MBJ_OK;
}

/* An old one beside its successor may expire: OpenSSL trusts it no more. */
static enum mbj_rc ca_take(SSL_CTX *ctx, const char *dir, struct mbj_error *err)
{
	char what[MBJ_PATH_TEXT_MAX];
	STACK_OF(X509) *all = NULL;
	bool is_any = false;
	enum mbj_rc rc = tls_certificates_load(dir, TLS_CA_NAME, &all, err);

	if (rc == MBJ_OK)
		rc = mbj_path_join(what, dir, TLS_CA_NAME, err);
	for (int i = 0; rc == MBJ_OK && i < sk_X509_num(all); i++) {
		X509 *ca = sk_X509_value(all, i);

		rc = ca_add(ctx, dir, ca, err);
		is_any = is_any || tls_time_check(what, ca, NULL) == MBJ_OK;
	}
	if (rc == MBJ_OK && !is_any)
		rc = tls_times_check(dir, TLS_CA_NAME, all, err);
	sk_X509_pop_free(all, X509_free);
	return rc;
}

static enum mbj_rc own_take(struct tls *tls, const char *dir,
			    struct mbj_error *err)
{
	const char *role = tls_role_word(tls->role);
	STACK_OF(X509) *all = NULL;
	EVP_PKEY *key = NULL;
	enum mbj_rc rc = tls_key_load(dir, TLS_KEY_NAME, &key, err);

	if (rc == MBJ_OK)
		rc = tls_certificates_load(dir, TLS_CERTIFICATE_NAME, &all,
					   err);
	if (rc == MBJ_OK)
		(void)!tls_times_check(dir, TLS_CERTIFICATE_NAME, all,
				       &tls->late);
	if (rc == MBJ_OK &&
	    SSL_CTX_use_certificate(tls->ctx, sk_X509_value(all, 0)) != 1)
		rc = tls_file_bad(err, dir, TLS_CERTIFICATE_NAME,
				  "certificate that can be used");
	for (int i = 1; rc == MBJ_OK && i < sk_X509_num(all); i++)
		if (SSL_CTX_add1_chain_cert(tls->ctx, sk_X509_value(all, i)) !=
		    1)
			rc = tls_file_bad(err, dir, TLS_CERTIFICATE_NAME,
					  "chain of certificates");
	if (rc == MBJ_OK && SSL_CTX_use_PrivateKey(tls->ctx, key) != 1)
		rc = tls_file_bad(err, dir, TLS_KEY_NAME,
				  "key of the certificate beside it");
	if (rc == MBJ_OK &&
	    !tls_name_find(sk_X509_value(all, 0), tls->role, &tls->own))
		rc = mbj_error_set(err, MBJ_EFENCED,
				   "%s/%s is not for a %s: it has no "
				   "alternative name URI:mbj:LINEAGE/%s/NAME",
				   dir, TLS_CERTIFICATE_NAME, role, role);
	EVP_PKEY_free(key);
	sk_X509_pop_free(all, X509_free);
	return rc;
}

enum mbj_rc tls_open_late(const char *dir, enum tls_role role,
			  struct tls **ret_tls, struct mbj_error *err)
{
	struct tls *tls = mbj_calloc(1, sizeof(*tls));
	enum mbj_rc rc = MBJ_OK;

	if (tls == NULL)
		return mbj_error_nomem(err);
	ERR_clear_error();
	tls->role = role;
	tls->ctx = SSL_CTX_new(role == TLS_SOURCE ? TLS_server_method()
						  : TLS_client_method());
	if (tls->ctx == NULL || !context_set(tls->ctx))
		rc = mbj_error_set(err, MBJ_EIO, "OpenSSL cannot do TLS 1.3");
	if (rc == MBJ_OK)
		rc = ca_take(tls->ctx, dir, err);
	if (rc == MBJ_OK)
		rc = own_take(tls, dir, err);
	ERR_clear_error();
	if (rc < 0) {
		tls_close(&tls);
		return rc;
	}
	*ret_tls = tls;
	return MBJ_OK;
}

enum mbj_rc tls_own_check(const struct tls *tls, struct mbj_error *err)
{
	if (tls->late.rc < 0)
		*err = tls->late;
	return tls->late.rc;
}

enum mbj_rc tls_open(const char *dir, enum tls_role role, struct tls **ret_tls,
		     struct mbj_error *err)
{
	struct tls *tls = NULL;
	enum mbj_rc rc = tls_open_late(dir, role, &tls, err);

	if (rc == MBJ_OK)
		rc = tls_own_check(tls, err);
	if (rc < 0)
		tls_close(&tls);
	else
		*ret_tls = tls;
	return rc;
}

void tls_close(struct tls **tls)
{
	if (*tls == NULL)
		return;
	SSL_CTX_free((*tls)->ctx);
	mbj_free(*tls);
	*tls = NULL;
}

const struct tls_name *tls_own(const struct tls *tls)
{
	return &tls->own;
}

/* ----------------------------------------------------------------- failures */

/* The peer's alert, in words; NULL: it is none. */
static const char *alert_text(int reason)
{
	if (reason <= SSL_AD_REASON_OFFSET ||
	    reason > SSL_AD_REASON_OFFSET + UINT8_MAX)
		return NULL;
	return SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
}

static enum mbj_rc failure_say(const struct tls_session *s,
			       struct mbj_error *err)
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	const char *alert = alert_text(reason);

	if (s->why.rc != MBJ_OK)
		return mbj_error_set(err, s->why.rc, "%s", s->why.message);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return mbj_error_set(err, MBJ_EFENCED,
				     "the peer has no certificate");
	if (reason == SSL_R_UNSUPPORTED_PROTOCOL ||
	    reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
		return mbj_error_set(err, MBJ_EIO,
				     "the peer does not speak TLS 1.3");
	if (reason == SSL_R_WRONG_VERSION_NUMBER ||
	    reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)
		return mbj_error_set(err, MBJ_EIO,
				     "the peer does not speak TLS");
	if (alert != NULL)
		return mbj_error_set(err, MBJ_EFENCED,
				     "the peer refuses us or our certificate: "
				     "%s",
				     alert);
	if (code == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return mbj_error_set(err, MBJ_EIO,
				     "the connection was cut: the peer said no "
				     "goodbye");
	/* OpenSSL has no words for the system's errors. */
	return mbj_error_set(err, MBJ_EIO, "TLS failed: %s",
			     ERR_SYSTEM_ERROR(code)
				     ? strerror(reason)
				     : ERR_reason_error_string(code));
}

/*
 * What a call that did nothing came to: events to wait for, or a failure.
 * MBJ_OK with no events: the peer said goodbye.
 */
static enum mbj_rc outcome(struct tls_session *s, int returned,
			   short *ret_events, struct mbj_error *err)
{
	int error = SSL_get_error(s->ssl, returned);
	enum mbj_rc rc = MBJ_OK;

	*ret_events = 0;
	if (error == SSL_ERROR_WANT_READ) {
		*ret_events = POLLIN;
	} else if (error == SSL_ERROR_WANT_WRITE) {
		*ret_events = POLLOUT;
	} else if (error != SSL_ERROR_ZERO_RETURN) {
		s->is_failed = true;
		rc = failure_say(s, err);
	}
	ERR_clear_error();
	return rc;
}

/* ----------------------------------------------------------------- sessions */

/* Until fd is ready for events; a negative code: it will not be. */
static enum mbj_rc meet_wait(int fd, short events, int stop_fd, int64_t until,
			     struct mbj_error *err)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events},
				{.fd = stop_fd, .events = POLLIN}};
	int64_t left = until - mbj_monotonic_ms();
	int n;

	do {
		n = poll(fds, 2,
			 left < 0	  ? 0
			 : left > INT_MAX ? INT_MAX
					  : (int)left);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return mbj_error_set(err, MBJ_EIO, "cannot wait for the peer");
	if (fds[1].revents != 0)
		return mbj_error_set(err, MBJ_EBUSY, "told to stop");
	if (n == 0)
		return mbj_error_set(err, MBJ_EIO,
				     "the peer takes too long to prove who it "
				     "is");
	return MBJ_OK;
}

static enum mbj_rc handshake(struct tls_session *s, int stop_fd, int64_t until,
			     struct mbj_error *err)
{
	for (;;) {
		short events = 0;
		enum mbj_rc rc;
		int status;

		ERR_clear_error();
		status = SSL_do_handshake(s->ssl);
		if (status == 1)
			return MBJ_OK;
		rc = outcome(s, status, &events, err);
		if (rc == MBJ_OK && events == 0)
			rc = mbj_error_set(err, MBJ_EIO, "the peer hung up");
		if (rc == MBJ_OK)
			rc = meet_wait(s->fd, events, stop_fd, until, err);
		if (rc < 0)
			return rc;
	}
}

/*
 * A socket that is closed with something in it unread takes what was written
 * last along: the peer would not know why it is refused.
 */
static void linger(int fd, int stop_fd)
{
	int64_t until = mbj_monotonic_ms() + LINGER_MS;
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
				{.fd = stop_fd, .events = POLLIN}};
	char bytes[LINGER_PIECE];
	size_t got = 0;

	(void)shutdown(fd, SHUT_WR);
	while (got < LINGER_SIZE) {
		int64_t left = until - mbj_monotonic_ms();
		ssize_t n;

		if (left <= 0 || poll(fds, 2, (int)left) <= 0 ||
		    fds[1].revents != 0)
			return;
		n = read(fd, bytes, sizeof(bytes));
		if (n <= 0)
			return;
		got += (size_t)n;
	}
}

static bool is_ended_unheard(const struct tls_session *s)
{
	return s->is_failed && BIO_number_read(SSL_get_rbio(s->ssl)) == 0;
}

static enum mbj_rc session_make(const struct tls *tls, int fd,
				struct tls_session *s, struct mbj_error *err)
{
	int flags = fcntl(fd, F_GETFL);

	*s = (struct tls_session){.tls = tls, .fd = fd, .why = {.rc = MBJ_OK}};
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return mbj_error_errno(err, errno, "cannot use",
				       "a connection");
	s->ssl = SSL_new(tls->ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1)
		return mbj_error_nomem(err);
	(void)SSL_set_app_data(s->ssl, s);
	if (tls->role == TLS_SOURCE)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	return MBJ_OK;
}

enum mbj_rc tls_meet(const struct tls *tls, int fd, int stop_fd,
		     int64_t wait_ms, struct tls_session **ret_session,
		     struct mbj_error *err)
{
	struct tls_session *s = mbj_calloc(1, sizeof(*s));
	enum mbj_rc rc;

	if (s == NULL)
		return mbj_error_nomem(err);
	rc = session_make(tls, fd, s, err);
	if (rc == MBJ_OK)
		rc = handshake(s, stop_fd, mbj_monotonic_ms() + wait_ms, err);
	if (rc < 0) {
		/* One that only looked whether somebody listens. */
		if (s->ssl != NULL && is_ended_unheard(s))
			rc = mbj_error_set(err, MBJ_ENOTFOUND,
					   "the peer hung up without a word");
		else if (rc != MBJ_EBUSY) /* we stop: nobody is refused */
			linger(fd, stop_fd);
		tls_part(&s);
		return rc;
	}
	s->is_met = true;
	*ret_session = s;
	return MBJ_OK;
}

void tls_part(struct tls_session **session)
{
	struct tls_session *s = *session;

	if (s == NULL)
		return;
	ERR_clear_error();
	if (s->is_met && !s->is_failed)
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
	SSL_free(s->ssl);
	mbj_free(s);
	*session = NULL;
}

/* ------------------------------------------------------------------ channel */

static enum mbj_rc session_read(void *ctx, void *p, size_t n, size_t *ret_n,
				short *ret_events, struct mbj_error *err)
{
	struct tls_session *s = ctx;
	size_t got = 0;

	ERR_clear_error();
	*ret_events = 0;
	*ret_n = 0;
	if (SSL_read_ex(s->ssl, p, n, &got) != 1)
		return outcome(s, 0, ret_events, err);
	*ret_n = got;
	return MBJ_OK;
}

/* One who takes no more has said goodbye, or why; or it is a cut. */
static bool peer_has_spoken(struct tls_session *s)
{
	char byte;
	size_t got = 0;

	ERR_clear_error();
	return SSL_peek_ex(s->ssl, &byte, 1, &got) == 1 ||
	       SSL_get_error(s->ssl, 0) == SSL_ERROR_ZERO_RETURN;
}

static enum mbj_rc session_write(void *ctx, const void *p, size_t n,
				 size_t *ret_n, short *ret_events,
				 struct mbj_error *err)
{
	struct tls_session *s = ctx;
	size_t sent = 0;
	int error;

	ERR_clear_error();
	errno = 0;
	*ret_events = 0;
	*ret_n = 0;
	if (SSL_write_ex(s->ssl, p, n, &sent) == 1) {
		*ret_n = sent;
		return MBJ_OK;
	}
	error = SSL_get_error(s->ssl, 0);
	if (error != SSL_ERROR_SYSCALL ||
	    (errno != EPIPE && errno != ECONNRESET))
		return outcome(s, 0, ret_events, err);
	if (peer_has_spoken(s))
		return MBJ_OK;
	s->is_failed = true;
	return failure_say(s, err);
}

static bool session_is_pending(void *ctx)
{
	const struct tls_session *s = ctx;

	return SSL_pending(s->ssl) > 0;
}

struct mbj_stream_channel tls_channel(struct tls_session *session)
{
	return (struct mbj_stream_channel){session, session_read, session_write,
					   session_is_pending};
}
