/*
 * Names in certificates; see tls_name.h.
 */
#include "tls_name.h"

#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

#define SCHEME "mbj:"

const char *tls_role_word(enum tls_role role)
{
	static const char *const words[] = {
#define X(name, word) [TLS_##name] = (word),
		TLS_ROLE_MAP(X)
#undef X
	};

	return words[role];
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool tls_name_is_good(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > TLS_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(name[i]))
			return false;
	return true;
}

void tls_uri_print(const struct tls_name *name, enum tls_role role,
		   char text[TLS_URI_SIZE])
{
	char lineage[MBJ_ID_TEXT_SIZE];

	mbj_id_print(name->lineage, lineage);
	(void)snprintf(text, TLS_URI_SIZE, SCHEME "%s/%s/%s", lineage,
		       tls_role_word(role), name->name);
}

/* One form for each: what is printed again is what was there. */
static bool uri_parse(struct mbj_bytes uri, enum tls_role role,
		      struct tls_name *ret_name)
{
	const size_t lineage_at = strlen(SCHEME);
	const size_t role_at = lineage_at + MBJ_ID_TEXT_SIZE;
	const size_t name_at = role_at + strlen(tls_role_word(role)) + 1;
	char again[TLS_URI_SIZE];
	struct tls_name name = {.name = ""};

	if (uri.n <= name_at || uri.n - name_at > TLS_NAME_MAX)
		return false;
	if (!mbj_id_parse(mbj_bytes_make(uri.p + lineage_at,
					 MBJ_ID_TEXT_SIZE - 1),
			  &name.lineage) ||
	    mbj_id_is_reserved(name.lineage))
		return false;
	memcpy(name.name, uri.p + name_at, uri.n - name_at);
	if (!tls_name_is_good(name.name))
		return false;
	tls_uri_print(&name, role, again);
	if (strlen(again) != uri.n || memcmp(again, uri.p, uri.n) != 0)
		return false;
	*ret_name = name;
	return true;
}

/* The URIs of a certificate, one after the other; false: no more. */
static bool uri_next(const GENERAL_NAMES *names, int *at,
		     struct mbj_bytes *ret_uri)
{
	while (*at < sk_GENERAL_NAME_num(names)) {
		int kind = GEN_OTHERNAME;
		const ASN1_STRING *text = GENERAL_NAME_get0_value(
			sk_GENERAL_NAME_value(names, *at), &kind);

		(*at)++;
		if (kind != GEN_URI)
			continue;
		*ret_uri = mbj_bytes_make(ASN1_STRING_get0_data(text),
					  (size_t)ASN1_STRING_length(text));
		return true;
	}
	return false;
}

bool tls_name_find(const X509 *certificate, enum tls_role role,
		   struct tls_name *ret_name)
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	struct tls_name name;
	struct mbj_bytes uri;
	unsigned found = 0;
	int at = 0;

	while (uri_next(names, &at, &uri))
		found += uri_parse(uri, role, &name);
	GENERAL_NAMES_free(names);
	if (found == 1)
		*ret_name = name;
	return found == 1;
}

void tls_subject_print(const X509 *certificate, char text[TLS_SUBJECT_SIZE])
{
	GENERAL_NAMES *names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char line[TLS_SUBJECT_SIZE / 4];
	struct mbj_bytes subject;
	int at = 0;

	if (!uri_next(names, &at, &subject)) {
		line[0] = '\0';
		(void)X509_NAME_oneline(X509_get_subject_name(certificate),
					line, sizeof(line));
		subject = mbj_bytes_str(line);
	}
	(void)mbj_text_escape(text, TLS_SUBJECT_SIZE, subject);
	GENERAL_NAMES_free(names);
}
