#include "config.h"

#include "images/digest.h"

#include "common/error.h"

#include <openssl/evp.h>
#include <string.h>

struct CsDigest
{
  EVP_MD *algorithm;
  EVP_MD_CTX *context;
};

CsDigest *
cs_digest_new (GError **error)
{
  g_autoptr (CsDigest) digest = g_new0 (CsDigest, 1);
  digest->algorithm = EVP_MD_fetch (NULL, "SHA256", NULL);
  digest->context = EVP_MD_CTX_new ();
  if (digest->algorithm == NULL || digest->context == NULL
      || EVP_DigestInit_ex2 (digest->context, digest->algorithm, NULL) != 1)
    {
      g_set_error (error, CS_ERROR, CS_ERROR_UNSUPPORTED,
                   "OpenSSL offers no SHA-256 (is its configuration right?)");
      return NULL;
    }
  return g_steal_pointer (&digest);
}

void
cs_digest_free (CsDigest *digest)
{
  if (digest == NULL)
    return;
  EVP_MD_CTX_free (digest->context);
  EVP_MD_free (digest->algorithm);
  g_free (digest);
}

void
cs_digest_page (CsDigest *digest, const void *page, guint8 hash[CS_HASH_LENGTH])
{
  /* Once the context is initialised none of these can fail. */
  int ok = EVP_DigestInit_ex2 (digest->context, NULL, NULL)
           & EVP_DigestUpdate (digest->context, page, CS_PAGE_LENGTH)
           & EVP_DigestFinal_ex (digest->context, hash, NULL);
  g_assert (ok == 1);
}

bool
cs_page_is_zero (const void *page)
{
  static const guint8 zeros[64];
  const guint8 *bytes = page;
  return memcmp (bytes, zeros, sizeof zeros) == 0
         && memcmp (bytes, bytes + sizeof zeros, CS_PAGE_LENGTH - sizeof zeros) == 0;
}

bool
cs_hash_is_zero (const guint8 hash[CS_HASH_LENGTH])
{
  static const guint8 zeros[CS_HASH_LENGTH];
  return memcmp (hash, zeros, CS_HASH_LENGTH) == 0;
}
