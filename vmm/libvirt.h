/* What the libvirt parts share: connections, the event loop, errors. */
#ifndef CS_VMM_LIBVIRT_H
#define CS_VMM_LIBVIRT_H

#include <glib.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <sys/types.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virConnect, virConnectClose)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomain, virDomainFree)

/* Sets @error from this thread's last libvirt error, "<formatted text>: <libvirt's text>".
 * No such domain: NOT_FOUND; not running: STATE; the connection failed: IO. */
bool cs_libvirt_set_error (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Opens @uri, which must be of this host.  cs_libvirt_init must have been called.  Each
 * VM has a connection of its own: libvirtd serves only a handful of calls of one at a time. */
virConnectPtr cs_libvirt_connect (const char *uri, GError **error);

/* The user and group that @connection's QEMUs run as. */
bool cs_libvirt_qemu_owner (virConnectPtr connection, uid_t *uid, gid_t *gid, GError **error);

#endif
