/*
 * PEM files; see tls_file.h.
 */
#include "tls_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <mbj/memory.h>
#include <mbj/sys.h>

#include "tls.h"

enum { FILE_SIZE_MAX = 256 << 10, CERTIFICATES_MAX = 32, DATE_SIZE = 64 };

enum mbj_rc tls_file_bad(struct mbj_error *err, const char *dir,
			 const char *name, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return mbj_error_set(err, MBJ_EINVALID, "%s/%s is no %s: %s", dir, name,
			     what, why != NULL ? why : "nothing of that there");
}

/*
 * A key that others may read is no secret, and whom they may write into a CA's
 * file is trusted.
 */
static enum mbj_rc mode_check(const struct mbj_file *file, bool is_secret,
			      bool is_trust, struct mbj_error *err)
{
	struct stat st;
	unsigned mode;

	if (fstat(file->fd, &st) != 0)
		return mbj_error_set(err, MBJ_EIO, "cannot look at %s",
				     file->path);
	mode = (unsigned)st.st_mode & 07777;
	if (is_secret && (mode & (S_IRWXG | S_IRWXO)) != 0)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a private key, and others may use "
				     "the file (mode %04o): chmod 600, and "
				     "make another key if somebody did",
				     file->path, mode);
	if (is_trust && (mode & (S_IWGRP | S_IWOTH)) != 0)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s says who is trusted, and others may "
				     "write it (mode %04o): look at it, then "
				     "chmod go-w",
				     file->path, mode);
	return MBJ_OK;
}

/* The file, as OpenSSL reads things; secrets are erased from our own copy. */
static enum mbj_rc pem_open(const char *dir, const char *name, bool is_secret,
			    struct mbj_buf *bytes, BIO **ret_bio,
			    struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t size = 0;
	size_t n = 0;
	enum mbj_rc rc = mbj_path_join(path, dir, name, err);

	if (rc == MBJ_OK)
		rc = mbj_file_open(mbj_sys_posix(), path, O_RDONLY, &file, err);
	if (rc < 0)
		return rc;
	rc = mode_check(&file, is_secret, strcmp(name, TLS_CA_NAME) == 0, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&file, &size, err);
	if (rc == MBJ_OK && size > FILE_SIZE_MAX)
		rc = mbj_error_set(err, MBJ_ELIMIT, "%s is too large", path);
	if (rc == MBJ_OK) {
		mbj_buf_put_zero(bytes, (size_t)size);
		rc = mbj_buf_ok(bytes, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_file_read(&file, 0, bytes->p, (size_t)size, &n, err);
	mbj_file_close(&file);
	if (rc < 0)
		return rc;
	*ret_bio = BIO_new_mem_buf(n > 0 ? (const char *)bytes->p : "", (int)n);
	return *ret_bio != NULL ? MBJ_OK : mbj_error_nomem(err);
}

static void pem_close(struct mbj_buf *bytes, BIO *bio)
{
	BIO_free(bio);
	if (bytes->n > 0)
		OPENSSL_cleanse(bytes->p, bytes->n);
	mbj_buf_done(bytes);
}

/* Nothing is asked for at a terminal. */
static int passphrase_refuse(char *buf, int size, int is_written, void *context)
{
	(void)buf;
	(void)size;
	(void)is_written;
	(void)context;
	return -1;
}

enum mbj_rc tls_key_load(const char *dir, const char *name, EVP_PKEY **ret_key,
			 struct mbj_error *err)
{
	struct mbj_buf bytes;
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, FILE_SIZE_MAX);
	rc = pem_open(dir, name, true, &bytes, &bio, err);
	if (rc == MBJ_OK) {
		key = PEM_read_bio_PrivateKey(bio, NULL, passphrase_refuse,
					      NULL);
		if (key == NULL)
			rc = tls_file_bad(err, dir, name,
					  "private key without a passphrase");
	}
	pem_close(&bytes, bio);
	if (rc == MBJ_OK)
		*ret_key = key;
	return rc;
}

/* ----------------------------------------------------------- certificates */

static void date_print(const ASN1_TIME *date, char text[DATE_SIZE])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio != NULL && ASN1_TIME_print(bio, date) == 1)
		n = BIO_read(bio, text, DATE_SIZE - 1);
	text[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

enum mbj_rc tls_time_check(const char *what, const X509 *certificate,
			   struct mbj_error *err)
{
	const ASN1_TIME *begin = X509_get0_notBefore(certificate);
	const ASN1_TIME *end = X509_get0_notAfter(certificate);
	char date[DATE_SIZE];

	if (X509_cmp_current_time(begin) >= 0) {
		date_print(begin, date);
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is not valid before %s: is the clock "
				     "right?",
				     what, date);
	}
	if (X509_cmp_current_time(end) <= 0) {
		date_print(end, date);
		return mbj_error_set(err, MBJ_EFENCED, "%s has expired on %s",
				     what, date);
	}
	return MBJ_OK;
}

static enum mbj_rc certificates_read(BIO *bio, const char *dir,
				     const char *name,
				     STACK_OF(X509) * certificates,
				     struct mbj_error *err)
{
	char what[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(what, dir, name, err);

	while (rc == MBJ_OK) {
		X509 *next =
			PEM_read_bio_X509(bio, NULL, passphrase_refuse, NULL);

		if (next == NULL)
			break;
		if (sk_X509_num(certificates) >= CERTIFICATES_MAX)
			rc = mbj_error_set(err, MBJ_ELIMIT,
					   "%s has too many certificates",
					   what);
		if (rc == MBJ_OK && sk_X509_push(certificates, next) == 0)
			rc = mbj_error_nomem(err);
		if (rc < 0)
			X509_free(next);
	}
	/* What ends it has to be the file's end. */
	if (rc == MBJ_OK &&
	    (sk_X509_num(certificates) == 0 ||
	     ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
		return tls_file_bad(err, dir, name, "certificate");
	ERR_clear_error();
	return rc;
}

enum mbj_rc tls_times_check(const char *dir, const char *name,
			    const STACK_OF(X509) * certificates,
			    struct mbj_error *err)
{
	char what[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(what, dir, name, err);

	for (int i = 0; rc == MBJ_OK && i < sk_X509_num(certificates); i++)
		rc = tls_time_check(what, sk_X509_value(certificates, i), err);
	return rc;
}

enum mbj_rc tls_certificates_load(const char *dir, const char *name,
				  STACK_OF(X509) * *ret_certificates,
				  struct mbj_error *err)
{
	STACK_OF(X509) *certificates = sk_X509_new_null();
	struct mbj_buf bytes;
	BIO *bio = NULL;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&bytes, FILE_SIZE_MAX);
	if (certificates == NULL)
		rc = mbj_error_nomem(err);
	if (rc == MBJ_OK)
		rc = pem_open(dir, name, false, &bytes, &bio, err);
	if (rc == MBJ_OK)
		rc = certificates_read(bio, dir, name, certificates, err);
	pem_close(&bytes, bio);
	if (rc < 0) {
		sk_X509_pop_free(certificates, X509_free);
		return rc;
	}
	*ret_certificates = certificates;
	return MBJ_OK;
}
