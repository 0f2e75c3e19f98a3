/*
 * Addresses; see http_address.h.
 */
#include "http_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 255 };

/* All digits, to the end. */
static bool port_parse(const char *text, uint16_t *ret_port)
{
	uint32_t port = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (uint32_t)(*text - '0');
		if (port > UINT16_MAX)
			return false;
	}
	*ret_port = (uint16_t)port;
	return true;
}

/*
 * HOST or HOST:PORT, of an address of version 6 in brackets; *ret_port points
 * behind the colon, or is NULL.  False: it is neither.
 */
static bool host_split(const char *text, char host[HOST_MAX + 1],
		       bool *ret_is_v6, const char **ret_port)
{
	bool is_v6 = text[0] == '[';
	const char *begin = text + is_v6;
	const char *end = strchr(begin, is_v6 ? ']' : ':');
	size_t n = end != NULL ? (size_t)(end - begin) : strlen(begin);

	if (n == 0 || n > HOST_MAX || (is_v6 && end == NULL))
		return false;
	memcpy(host, begin, n);
	host[n] = '\0';
	end = begin + n + is_v6;
	if (*end != '\0' && *end != ':')
		return false;
	*ret_port = *end == ':' ? end + 1 : NULL;
	*ret_is_v6 = is_v6;
	return true;
}

enum mbj_rc http_address_parse(const char *text,
			       struct http_address *ret_address,
			       struct mbj_error *err)
{
	struct http_address a;
	char host[HOST_MAX + 1];
	const char *digits;
	uint16_t port = 0;
	bool is_ok;

	memset(&a, 0, sizeof(a));
	is_ok = host_split(text, host, &a.is_v6, &digits) && digits != NULL &&
		port_parse(digits, &port);
	if (is_ok && a.is_v6)
		is_ok = inet_pton(AF_INET6, host, &a.socket.v6.sin6_addr) == 1;
	else if (is_ok)
		is_ok = inet_pton(AF_INET, host, &a.socket.v4.sin_addr) == 1;
	if (!is_ok)
		return mbj_error_set(err, MBJ_EINVALID,
				     "\"%.100s\" is no address: it is "
				     "127.0.0.1:PORT or [::1]:PORT",
				     text);
	if (a.is_v6) {
		a.socket.v6.sin6_family = AF_INET6;
		a.socket.v6.sin6_port = htons(port);
		a.is_loopback = IN6_IS_ADDR_LOOPBACK(&a.socket.v6.sin6_addr);
	} else {
		a.socket.v4.sin_family = AF_INET;
		a.socket.v4.sin_port = htons(port);
		a.is_loopback = ntohl(a.socket.v4.sin_addr.s_addr) >> 24 == 127;
	}
	(void)snprintf(a.host, sizeof(a.host), a.is_v6 ? "[%.45s]" : "%.45s",
		       host);
	a.port = port;
	*ret_address = a;
	return MBJ_OK;
}

bool http_host_is_ours(const char *text, const char *name)
{
	char host[HOST_MAX + 1];
	struct in6_addr v6;
	struct in_addr v4;
	const char *digits;
	uint16_t port;
	bool is_v6;

	if (!host_split(text, host, &is_v6, &digits) ||
	    (digits != NULL && !port_parse(digits, &port)))
		return false;
	if (is_v6)
		return inet_pton(AF_INET6, host, &v6) == 1;
	return inet_pton(AF_INET, host, &v4) == 1 ||
	       strcasecmp(host, "localhost") == 0 ||
	       (name != NULL && strcasecmp(host, name) == 0);
}
