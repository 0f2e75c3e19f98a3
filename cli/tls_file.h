/*
 * What one side of TLS reads from its directory; see tls.h.
 */
#ifndef MBJ_CLI_TLS_FILE_H
#define MBJ_CLI_TLS_FILE_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <mbj/error.h>

/* One key, that nobody else may read.  Ownership: the caller's. */
enum mbj_rc tls_key_load(const char *dir, const char *name, EVP_PKEY **ret_key,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* All of the file, at least one, of whatever time.  Likewise. */
enum mbj_rc tls_certificates_load(const char *dir, const char *name,
				  STACK_OF(X509) * *ret_certificates,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* Is each within its time?  Returns: MBJ_EFENCED. */
enum mbj_rc tls_times_check(const char *dir, const char *name,
			    const STACK_OF(X509) * certificates,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Is it within its time?  what names it.  Likewise. */
enum mbj_rc tls_time_check(const char *what, const X509 *certificate,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* OpenSSL's last word, which is then forgotten: MBJ_EINVALID. */
enum mbj_rc tls_file_bad(struct mbj_error *err, const char *dir,
			 const char *name, const char *what);

#endif
