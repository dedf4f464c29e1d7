/* The state of all devices of a stopped VM, without RAM: xen-save-devices-state. */
#ifndef CS_VMM_DEVSTATE_H
#define CS_VMM_DEVSTATE_H

#include "vmm/monitor.h"

typedef struct CsDeviceState CsDeviceState;

/* Checks that @data is such a stream (CORRUPT otherwise): from QEMU, or from a store before it
 * is fed to a QEMU.  Grammar, big-endian:
 *
 *   stream  = "QEVM" be32(3) section+ 0x00
 *   section = 0x04 be32(id) u8(length) name be32(instance) be32(version) body 0x7e be32(id)
 *
 * Bodies have no length and only QEMU can parse them, so what is checked is that the whole can
 * be cut into sections that way, to the last byte.  Linear in @length. */
bool cs_device_state_check (const void *data, gsize length, GError **error);

/* The sections of such a stream, in its order: "NAME instance I version V" (GPtrArray of strings
 * with a free function).  CORRUPT also for a stream that could be cut in several ways of which the
 * first one found leads nowhere: only a guest that means it brings that about.  Linear. */
GPtrArray *cs_device_state_sections (const void *data, gsize length, GError **error);

/* Before the pause: makes the memfd and hands its write-only side to QEMU. */
CsDeviceState *cs_device_state_new (CsMonitor *monitor, GError **error);
/* Takes the descriptor out of QEMU again (a dead QEMU is no error). */
void cs_device_state_free (CsDeviceState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CsDeviceState, cs_device_state_free)

/* VM stopped: the one command.  May be repeated; the last one counts. */
bool cs_device_state_save (CsDeviceState *state, GError **error);

/* After that: the bytes, checked against the shape of such a stream (QEVM magic, version 3,
 * footers, final 0x00; at most 64 MiB: the guest is hostile). */
GBytes *cs_device_state_bytes (CsDeviceState *state, GError **error);

#endif
