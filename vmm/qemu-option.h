/* One value of a QEMU option that has members: "first,key=value,…" where a comma in a value is
 * written twice, or JSON.  Members are named by dotted keys ("file.filename", "addr.0.host") in
 * both. */
#ifndef CS_VMM_QEMU_OPTION_H
#define CS_VMM_QEMU_OPTION_H

#include <glib.h>
#include <stdbool.h>

typedef struct CsQemuOption CsQemuOption;

/* @implied: the key of a first part without "="; NULL: none.  INVALID: broken JSON, or a part
 * without a key. */
CsQemuOption *cs_qemu_option_parse (const char *text, const char *implied, GError **error);
void cs_qemu_option_free (CsQemuOption *option);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsQemuOption, cs_qemu_option_free)

guint cs_qemu_option_n (const CsQemuOption *option);
const char *cs_qemu_option_key (const CsQemuOption *option, guint i);
/* As text; true and a part without "=" (the old short form) are "on". */
const char *cs_qemu_option_value (const CsQemuOption *option, guint i);

/* The last value of @key, as QEMU takes it; NULL: none.  Until the next change. */
const char *cs_qemu_option_get (const CsQemuOption *option, const char *key);
/* Whether @key is "on" (or "yes", "true", "y"). */
bool cs_qemu_option_is_on (const CsQemuOption *option, const char *key);
/* Every value of @key becomes this one string; a new member comes last. */
void cs_qemu_option_set (CsQemuOption *option, const char *key, const char *value);
void cs_qemu_option_set_on (CsQemuOption *option, const char *key);
/* With all that is below it ("key.…"). */
void cs_qemu_option_remove (CsQemuOption *option, const char *key);

/* In the form that was parsed. */
char *cs_qemu_option_format (const CsQemuOption *option);

/* A comma twice. */
char *cs_qemu_option_escape (const char *value);

#endif
