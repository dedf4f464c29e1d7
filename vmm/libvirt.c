#include "config.h"

#include "vmm/libvirt.h"

#include "common/error.h"
#include "vmm/monitor.h"

#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libvirt pings its server this often, and gives up after as many lost answers. */
#define KEEPALIVE_INTERVAL 5
#define KEEPALIVE_COUNT 3

/* By default libvirt prints every error to stderr. */
static void
be_silent (void *data, virErrorPtr error)
{
}

static gpointer
run_event_loop (gpointer data)
{
  for (;;)
    virEventRunDefaultImpl ();
  return NULL;
}

static gpointer
initialize (gpointer data)
{
  virSetErrorFunc (NULL, be_silent);
  if (virInitialize () < 0 || virEventRegisterDefaultImpl () < 0)
    return GINT_TO_POINTER (false);
  g_thread_unref (g_thread_new ("libvirt-events", run_event_loop, NULL));
  return GINT_TO_POINTER (true);
}

bool
cs_libvirt_init (GError **error)
{
  static GOnce once = G_ONCE_INIT;
  g_once (&once, initialize, NULL);
  if (GPOINTER_TO_INT (once.retval))
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_FAILED, "cannot initialize libvirt");
  return false;
}

static CsError
code_of (int code)
{
  switch (code)
    {
    case VIR_ERR_NO_DOMAIN:
      return CS_ERROR_NOT_FOUND;
    case VIR_ERR_OPERATION_INVALID:
      return CS_ERROR_STATE;
    case VIR_ERR_DOM_EXIST:
      return CS_ERROR_EXISTS;
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_INVALID_CONN:
      return CS_ERROR_INVALID;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
      return CS_ERROR_UNSUPPORTED;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
      return CS_ERROR_PERMISSION;
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_RESOURCE_BUSY:
      return CS_ERROR_BUSY;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_RPC:
    case VIR_ERR_SYSTEM_ERROR:
      return CS_ERROR_IO;
    default:
      return CS_ERROR_FAILED;
    }
}

bool
cs_libvirt_set_error (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  const virError *last = virGetLastError ();
  g_set_error (error, CS_ERROR, last != NULL ? code_of (last->code) : CS_ERROR_FAILED, "%s: %s",
               text, last != NULL && last->message != NULL ? last->message : "no reason given");
  return false;
}

/* A URI with a host in it leads elsewhere: memory can only be read on the VM's own host. */
static bool
check_local (const char *uri, GError **error)
{
  g_autoptr (GUri) parsed =
      g_uri_parse (uri, G_URI_FLAGS_NON_DNS | G_URI_FLAGS_PARSE_RELAXED, NULL);
  const char *host = parsed != NULL ? g_uri_get_host (parsed) : NULL;
  if (host == NULL || *host == '\0')
    return true;
  g_set_error (error, CS_ERROR, CS_ERROR_INVALID,
               "'%s' names host '%s': clusnapd captures the VMs of its own host only; name that "
               "host in the cluster file and use qemu:///system",
               uri, host);
  return false;
}

virConnectPtr
cs_libvirt_connect (const char *uri, GError **error)
{
  if (!check_local (uri, error))
    return NULL;
  virConnectPtr connection = virConnectOpen (uri);
  if (connection == NULL)
    {
      g_autoptr (GError) local = NULL;
      cs_libvirt_set_error (&local, "cannot connect to libvirt at '%s'", uri);
      g_set_error (error, CS_ERROR,
                   local->code == CS_ERROR_PERMISSION ? CS_ERROR_PERMISSION : CS_ERROR_IO,
                   "%s (does libvirtd run?)", local->message);
      return NULL;
    }
  /* No keepalive is no error: an in-process driver has no server to lose. */
  virConnectSetKeepAlive (connection, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT);
  return connection;
}

bool
cs_libvirt_qemu_owner (virConnectPtr connection, uid_t *uid, gid_t *gid, GError **error)
{
  /* <secmodel><model>dac</model>...<baselabel type='kvm'>+UID:+GID</baselabel> */
  char *text = virConnectGetCapabilities (connection);
  if (text == NULL)
    return cs_libvirt_set_error (error, "cannot ask libvirt which user its QEMUs are");
  const char *model = strstr (text, "<model>dac</model>");
  const char *label = model != NULL ? strstr (model, "<baselabel ") : NULL;
  unsigned user, group;
  bool found =
      label != NULL && sscanf (label, "<baselabel type='%*[a-z]'>+%u:+%u", &user, &group) == 2;
  free (text);
  if (found)
    {
      *uid = user;
      *gid = group;
    }
  /* Else QEMU is whatever libvirtd is. */
  return true;
}
