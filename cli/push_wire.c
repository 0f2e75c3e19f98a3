/*
 * A connection to an IMAP server, through libcurl; see push_wire.h.
 *
 * libcurl's own IMAP has no RENAME and no STATUS worth the name, so that it is
 * asked to connect and log in only, and bytes go through its connection.
 */
#include "push_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include <mbj/sys.h>

#include "cli.h"

enum {
	SECRET_MAX = 4096,
	SILENCE_MS = 120000,
	/* of one command, however much there is to tell: many names */
	ANSWER_MS = 600000,
	CONNECT_S = 60,
	COMMAND_MAX = 1 << 20,
	PIECE = 4096,
	SEND_AT = 65536,
};

/* Whose URL is meant, for a log, too: without the password that it may have. */
static enum mbj_rc url_say(const char *text, struct mbj_error *err)
{
	const char *scheme = strstr(text, "://");
	const char *user = scheme != NULL ? scheme + 3 : text;
	const char *at = strrchr(user, '@');
	const char *colon =
		at != NULL ? memchr(user, ':', (size_t)(at - user)) : NULL;

	if (colon == NULL)
		return mbj_error_prefix(err, err->rc, "\"%.200s\"", text);
	return mbj_error_prefix(err, err->rc, "\"%.*s:...%.100s\"",
				(int)(colon - text < 100 ? colon - text : 100),
				text, at);
}

static enum mbj_rc url_part(CURLU *url, CURLUPart what, unsigned flags,
			    const char *name, char **ret_text,
			    struct mbj_error *err)
{
	CURLUcode code = curl_url_get(url, what, ret_text, flags);

	if (code == CURLUE_OK)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "the URL has no %s: it is to be "
			     "imaps://USER@HOST[:PORT]",
			     name);
}

/* No mailbox, no options, and no password, which everybody could see. */
static enum mbj_rc url_check(CURLU *url, struct mbj_error *err)
{
	static const struct {
		CURLUPart part;
		const char *name;
	} NONE[] = {{CURLUPART_PASSWORD, "password"},
		    {CURLUPART_OPTIONS, "options"},
		    {CURLUPART_QUERY, "query"},
		    {CURLUPART_FRAGMENT, "fragment"}};
	char *text = NULL;
	bool is_imap, is_bare;

	for (size_t i = 0; i < sizeof(NONE) / sizeof(*NONE); i++) {
		if (curl_url_get(url, NONE[i].part, &text, 0) != CURLUE_OK)
			continue;
		curl_free(text);
		return mbj_error_set(err, MBJ_EINVALID,
				     "the URL has a %s, which it must not",
				     NONE[i].name);
	}
	if (curl_url_get(url, CURLUPART_SCHEME, &text, 0) != CURLUE_OK)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the URL has no scheme");
	is_imap = strcmp(text, "imap") == 0 || strcmp(text, "imaps") == 0;
	curl_free(text);
	text = NULL;
	is_bare = curl_url_get(url, CURLUPART_PATH, &text, 0) != CURLUE_OK ||
		  strcmp(text, "/") == 0;
	curl_free(text);
	if (is_imap && is_bare)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "the URL is not imaps://USER@HOST[:PORT], nor "
			     "imap://USER@HOST[:PORT]");
}

static enum mbj_rc url_parse(const char *text, CURLU **ret_url,
			     struct mbj_error *err)
{
	CURLU *url = curl_url();
	enum mbj_rc rc = MBJ_OK;

	if (url == NULL)
		return mbj_error_nomem(err);
	if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "it is no URL of the form "
				   "imaps://USER@HOST[:PORT]");
	if (rc == MBJ_OK)
		rc = url_check(url, err);
	if (rc < 0)
		curl_url_cleanup(url);
	else
		*ret_url = url;
	return rc;
}

/* Case means nothing in a host's name: it is one server, and has one file. */
static void host_lower(char *host)
{
	for (; *host != '\0'; host++)
		if (*host >= 'A' && *host <= 'Z')
			*host |= 0x20;
}

enum mbj_rc push_wire_target(const char *text, struct mbj_buf *ret_target,
			     struct mbj_error *err)
{
	char *user = NULL, *host = NULL, *port = NULL;
	CURLU *url = NULL;
	enum mbj_rc rc = url_parse(text, &url, err);

	if (rc == MBJ_OK)
		rc = url_part(url, CURLUPART_USER, CURLU_URLDECODE, "user",
			      &user, err);
	if (rc == MBJ_OK)
		rc = url_part(url, CURLUPART_HOST, 0, "host", &host, err);
	if (rc == MBJ_OK)
		rc = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, "port",
			      &port, err);
	if (rc == MBJ_OK) {
		host_lower(host);
		mbj_buf_clear(ret_target);
		mbj_buf_format(ret_target, "%s@%s:%s", user, host, port);
		rc = mbj_buf_ok(ret_target, err);
	}
	if (rc == MBJ_OK && !mbj_imap_is_quotable(mbj_buf_view(ret_target)))
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "user and host of the URL are to be ASCII");
	curl_free(user);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return rc == MBJ_EINVALID ? url_say(text, err) : rc;
}

#define SECRET_VARIABLE "MBJ_PUSH_PASSWORD"

enum mbj_rc push_wire_has_secret(struct mbj_error *err)
{
	if (getenv(SECRET_VARIABLE) != NULL)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "no password: give --password-file, or set "
			     "%s",
			     SECRET_VARIABLE);
}

/* The first line of the file, or the variable. */
enum mbj_rc push_wire_secret(struct push_login *login, struct mbj_error *err)
{
	const char *file = login->password_file;
	struct mbj_buf *secret = &login->secret;
	enum mbj_rc rc = file != NULL ? cli_read(file, secret, err)
				      : push_wire_has_secret(err);

	if (rc < 0)
		return rc;
	if (file == NULL) {
		mbj_buf_init(secret, SECRET_MAX + 1);
		mbj_buf_put_str(secret, getenv(SECRET_VARIABLE));
	}
	for (size_t i = 0; i < secret->n; i++) {
		if (secret->p[i] == '\n' || secret->p[i] == '\r')
			secret->n = i;
	}
	if (secret->n == 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the password is empty%s%s",
				     file == NULL ? "" : ": ",
				     file == NULL ? "" : file);
	mbj_buf_put_u8(secret, 0);
	return mbj_buf_ok(secret, err);
}

static bool is_here(const char *host)
{
	return strcmp(host, "localhost") == 0 ||
	       strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0;
}

/* What is the same of each connection. */
static CURLcode options_set(CURL *curl, const struct push_login *login,
			    CURLU *url, bool is_plain)
{
	CURLcode code = curl_easy_setopt(curl, CURLOPT_CURLU, url);

	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR,
					"imap,imaps");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PASSWORD,
					(const char *)login->secret.p);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_NETRC,
					(long)CURL_NETRC_IGNORED);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CONNECT_S);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_SSLVERSION,
					(long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_USE_SSL,
					is_plain ? (long)CURLUSESSL_NONE
						 : (long)CURLUSESSL_ALL);
	if (code == CURLE_OK && login->ca_file != NULL)
		code = curl_easy_setopt(curl, CURLOPT_CAINFO, login->ca_file);
	return code;
}

static enum mbj_rc connect_it(struct push_wire *wire,
			      const struct push_login *login, CURLU *url,
			      struct mbj_error *err)
{
	char text[4 * CURL_ERROR_SIZE], detail[CURL_ERROR_SIZE] = "";
	char *user = NULL, *host = NULL;
	CURLcode code = CURLE_OK;
	enum mbj_rc rc;

	rc = url_part(url, CURLUPART_USER, CURLU_URLDECODE, "user", &user, err);
	if (rc == MBJ_OK)
		rc = url_part(url, CURLUPART_HOST, 0, "host", &host, err);
	if (rc == MBJ_OK) {
		code = curl_easy_setopt(wire->curl, CURLOPT_ERRORBUFFER,
					detail);
		if (code == CURLE_OK)
			code = options_set(wire->curl, login, url,
					   is_here(host));
		if (code == CURLE_OK)
			code = curl_easy_perform(wire->curl);
		(void)curl_easy_setopt(wire->curl, CURLOPT_ERRORBUFFER, NULL);
	}
	curl_free(user);
	curl_free(host);
	if (rc == MBJ_OK && code != CURLE_OK) {
		(void)mbj_text_escape(
			text, sizeof(text),
			mbj_bytes_str(detail[0] != '\0'
					      ? detail
					      : curl_easy_strerror(code)));
		rc = mbj_error_set(err, MBJ_EIO, "cannot log in to %s: %s",
				   login->url, text);
	}
	return rc;
}

enum mbj_rc push_wire_open(const struct push_login *login,
			   struct push_wire *wire, struct mbj_error *err)
{
	CURLU *url = NULL;
	enum mbj_rc rc;

	*wire = (struct push_wire){.tag = 0};
	mbj_imap_reader_init(&wire->reader);
	mbj_buf_init(&wire->strings, MBJ_IMAP_RESPONSE_MAX);
	mbj_buf_init(&wire->text, COMMAND_MAX);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return mbj_error_nomem(err);
	rc = url_parse(login->url, &url, err);
	if (rc == MBJ_OK) {
		wire->curl = curl_easy_init();
		if (wire->curl == NULL)
			rc = mbj_error_nomem(err);
	}
	if (rc == MBJ_OK)
		rc = connect_it(wire, login, url, err);
	curl_url_cleanup(url);
	return rc;
}

void push_wire_close(struct push_wire *wire)
{
	if (wire->curl != NULL) {
		curl_easy_cleanup(wire->curl);
		wire->curl = NULL;
	}
	mbj_imap_reader_done(&wire->reader);
	mbj_buf_done(&wire->strings);
	mbj_buf_done(&wire->text);
}

/* The other side, or what is between, ended it. */
static enum mbj_rc gone(struct push_wire *wire, const char *what,
			const char *why, struct mbj_error *err)
{
	wire->is_gone = true;
	return mbj_error_set(err, MBJ_EIO, "%s: %s", what, why);
}

/* Until the connection can be read from, or written to. */
static enum mbj_rc await(struct push_wire *wire, short events,
			 struct mbj_error *err)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	struct pollfd poller = {.events = events};
	int n;

	if (curl_easy_getinfo(wire->curl, CURLINFO_ACTIVESOCKET, &fd) !=
		    CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return gone(wire, "the connection is gone after the command",
			    wire->command, err);
	poller.fd = fd;
	do
		n = poll(&poller, 1, SILENCE_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return MBJ_OK;
	if (n < 0)
		return mbj_error_errno(err, errno, "cannot wait for",
				       "the server");
	return mbj_error_set(err, MBJ_EIO,
			     "the server has been silent for %d seconds after "
			     "the command: %s",
			     SILENCE_MS / 1000, wire->command);
}

/* For messages; a command may have names of any length. */
static void command_note(struct push_wire *wire, const struct mbj_buf *command)
{
	(void)mbj_text_escape(wire->command, sizeof(wire->command),
			      mbj_buf_view(command));
}

static void command_begin(struct push_wire *wire, const struct mbj_buf *command)
{
	command_note(wire, command);
	wire->began_ms = mbj_monotonic_ms();
	mbj_buf_clear(&wire->text);
	mbj_buf_format(&wire->text, "m%" PRIu32 " ", ++wire->tag);
	mbj_buf_put_bytes(&wire->text, mbj_buf_view(command));
}

/* All of wire->text, which is empty behind that. */
static enum mbj_rc text_send(struct push_wire *wire, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&wire->text, err);
	size_t at = 0;

	while (rc == MBJ_OK && at < wire->text.n) {
		size_t n = 0;
		CURLcode code = curl_easy_send(wire->curl, wire->text.p + at,
					       wire->text.n - at, &n);

		if (code == CURLE_AGAIN)
			rc = await(wire, POLLOUT, err);
		else if (code != CURLE_OK)
			rc = gone(wire, "cannot send to the server",
				  curl_easy_strerror(code), err);
		at += n;
	}
	mbj_buf_clear(&wire->text);
	return rc;
}

enum mbj_rc push_wire_send(struct push_wire *wire,
			   const struct mbj_buf *command, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(command, err);

	if (rc < 0)
		return rc;
	command_begin(wire, command);
	mbj_buf_put_str(&wire->text, "\r\n");
	return text_send(wire, err);
}

static enum mbj_rc receive(struct push_wire *wire, struct mbj_error *err)
{
	uint8_t piece[PIECE];
	size_t n = 0;

	for (;;) {
		CURLcode code =
			curl_easy_recv(wire->curl, piece, sizeof(piece), &n);
		enum mbj_rc rc;

		if (code == CURLE_OK && n > 0)
			break;
		if (code == CURLE_OK)
			return gone(wire,
				    "the server closed the connection after "
				    "the command",
				    wire->command, err);
		if (code != CURLE_AGAIN)
			return gone(wire, "cannot read from the server",
				    curl_easy_strerror(code), err);
		rc = await(wire, POLLIN, err);
		if (rc < 0)
			return rc;
	}
	mbj_imap_reader_feed(&wire->reader, mbj_bytes_make(piece, n));
	return MBJ_OK;
}

/* Is it the end of our last command? */
static bool is_mine(const struct push_wire *wire, struct mbj_bytes tag)
{
	char mine[16];
	int n = snprintf(mine, sizeof(mine), "m%" PRIu32, wire->tag);

	return mbj_bytes_equal(tag, mbj_bytes_make(mine, (size_t)n));
}

/* As push_wire_next; is_asking: a continuation may come. */
static enum mbj_rc response_next(struct push_wire *wire, bool is_asking,
				 struct mbj_imap_response *ret_response,
				 struct mbj_error *err)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	while ((rc = mbj_imap_reader_next(&wire->reader, &bytes, err)) ==
	       MBJ_ENOTFOUND) {
		if (mbj_monotonic_ms() - wire->began_ms > ANSWER_MS)
			return mbj_error_set(
				err, MBJ_EIO,
				"the server has been talking for %d seconds "
				"after the command: %s",
				ANSWER_MS / 1000, wire->command);
		rc = receive(wire, err);
		if (rc < 0)
			return rc;
	}
	if (rc == MBJ_OK)
		rc = mbj_imap_response_parse(bytes, &wire->strings, &response,
					     err);
	if (rc < 0)
		return rc;
	if (response.kind == MBJ_IMAP_BYE) {
		char text[256];

		(void)mbj_text_escape(text, sizeof(text), response.text);
		return gone(wire, "the server says BYE", text, err);
	}
	if ((response.kind == MBJ_IMAP_TAGGED &&
	     !is_mine(wire, response.tag)) ||
	    (response.kind == MBJ_IMAP_CONTINUE && !is_asking))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the server answers what was not asked, "
				     "after the command: %s",
				     wire->command);
	*ret_response = response;
	return MBJ_OK;
}

enum mbj_rc push_wire_next(struct push_wire *wire,
			   struct mbj_imap_response *ret_response,
			   struct mbj_error *err)
{
	return response_next(wire, false, ret_response, err);
}

/* May the bytes come?  If not, *ret_end is the end. */
static enum mbj_rc literal_ask(struct push_wire *wire, bool *ret_may_come,
			       struct mbj_imap_response *ret_end,
			       struct mbj_error *err)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc = text_send(wire, err);

	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED &&
	       response.kind != MBJ_IMAP_CONTINUE)
		rc = response_next(wire, true, &response, err);
	if (rc < 0)
		return rc;
	*ret_may_come = response.kind == MBJ_IMAP_CONTINUE;
	if (!*ret_may_come && response.verdict == MBJ_IMAP_OK)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the server says OK to a half of the "
				     "command: %s",
				     wire->command);
	*ret_end = response;
	return MBJ_OK;
}

static enum mbj_rc literal_send(struct push_wire *wire, uint64_t size,
				push_read_fn *read, void *context,
				struct mbj_error *err)
{
	uint8_t piece[PIECE];
	enum mbj_rc rc = MBJ_OK;
	size_t got = 1;

	while (rc == MBJ_OK && got > 0) {
		rc = read(context, piece, sizeof(piece), &got, err);
		if (rc == MBJ_OK && got > size)
			break;
		if (rc < 0 || got == 0)
			continue;
		size -= got;
		mbj_buf_put(&wire->text, piece, got);
		if (wire->text.n >= SEND_AT)
			rc = text_send(wire, err);
	}
	if (rc == MBJ_OK && (got > 0 || size > 0))
		rc = mbj_error_set(err, MBJ_EIO,
				   "a message changed while it was sent");
	if (rc < 0)
		return rc;
	mbj_buf_put_str(&wire->text, "\r\n");
	return text_send(wire, err);
}

enum mbj_rc push_wire_literal(struct push_wire *wire,
			      const struct mbj_buf *command, uint64_t size,
			      bool is_waiting, push_read_fn *read,
			      void *context, struct mbj_imap_response *ret_end,
			      struct mbj_error *err)
{
	struct mbj_imap_response end = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc = mbj_buf_ok(command, err);
	bool may_come = true;

	if (rc < 0)
		return rc;
	command_begin(wire, command);
	mbj_buf_format(&wire->text, " {%" PRIu64 "%s}\r\n", size,
		       is_waiting ? "" : "+");
	if (is_waiting)
		rc = literal_ask(wire, &may_come, &end, err);
	if (rc == MBJ_OK && may_come) {
		rc = literal_send(wire, size, read, context, err);
		/* However long that took. */
		wire->began_ms = mbj_monotonic_ms();
		end.kind = MBJ_IMAP_OTHER;
		while (rc == MBJ_OK && end.kind != MBJ_IMAP_TAGGED)
			rc = push_wire_next(wire, &end, err);
	}
	if (rc == MBJ_OK)
		*ret_end = end;
	return rc;
}

enum mbj_rc push_wire_judge(const struct push_wire *wire,
			    const struct mbj_imap_response *end,
			    struct mbj_error *err)
{
	char text[256];

	if (end->verdict == MBJ_IMAP_OK)
		return MBJ_OK;
	(void)mbj_text_escape(text, sizeof(text), end->text);
	return mbj_error_set(err, MBJ_ECONFLICT,
			     "the server says %s to %.200s: %s",
			     end->verdict == MBJ_IMAP_NO ? "NO" : "BAD",
			     wire->command, text);
}

enum mbj_rc push_wire_run(struct push_wire *wire, const struct mbj_buf *command,
			  struct mbj_error *err)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc = push_wire_send(wire, command, err);

	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED)
		rc = push_wire_next(wire, &response, err);
	return rc == MBJ_OK ? push_wire_judge(wire, &response, err) : rc;
}
