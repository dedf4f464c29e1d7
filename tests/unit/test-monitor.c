#include "config.h"

#include "common/error.h"
#include "tests/unit/fake-qmp.h"
#include "tests/unit/unit.h"
#include "vmm/monitor.h"
#include "vmm/precheck.h"
#include "vmm/qom-scan.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETURN(id, value) "{\"return\": " value ", \"id\": $" #id "}"

static void
finish (FakeQmp *fake, CsMonitor *monitor)
{
  cs_monitor_close (monitor);
  g_autofree char *problem = fake_qmp_finish (fake);
  ck_assert_msg (problem == NULL, "%s", problem);
}

START_TEST (front)
{
  static const FakeStep steps[] = {
    FAKE_HELLO,
    { FAKE_EXPECT, "query-status" },
    { FAKE_SEND, RETURN (2, "{\"status\": \"paused\", \"running\": false}") },
    { FAKE_FD, "add-fd" },
    { FAKE_SEND, RETURN (3, "{\"fdset-id\": 7, \"fd\": 30}") },
    { FAKE_EXPECT, "remove-fd" },
    { FAKE_SEND, RETURN (4, "{}") },
    { FAKE_EXPECT, "stop" },
    { FAKE_SEND, "{\"event\": \"STOP\"}" },
    { FAKE_SEND, RETURN (5, "{}") },
    { FAKE_EXPECT, "cont" },
    { FAKE_SEND, RETURN (6, "{}") },
    { FAKE_EXPECT, "never" },
    { FAKE_CLOSE },
    { FAKE_END },
  };
  FakeQmp *fake = fake_qmp_start (steps);
  g_autoptr (GError) error = NULL;
  CsMonitor *monitor = cs_monitor_open_qmp (fake_qmp_path (fake), &error);
  unit_assert_no_error (error);
  g_autofree char *name = g_strdup_printf ("QEMU at '%s'", fake_qmp_path (fake));
  ck_assert_str_eq (cs_monitor_name (monitor), name);
  ck_assert_int_eq (cs_monitor_pid (monitor), getpid ());
  ck_assert (cs_monitor_is_alive (monitor));
  ck_assert (!cs_monitor_is_libvirt (monitor));
  ck_assert_ptr_null (cs_monitor_libvirt_xml (monitor, &error));
  unit_assert_error (error, CS_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  bool running = true;
  g_autofree char *status = NULL;
  ck_assert (cs_monitor_status (monitor, &running, &status, &error));
  ck_assert (!running);
  ck_assert_str_eq (status, "paused");
  int fd = memfd_create ("test", MFD_CLOEXEC);
  ck_assert_int_eq (cs_monitor_add_fd (monitor, fd, "clusnap-test", &error), 7);
  close (fd);
  ck_assert (cs_monitor_remove_fdset (monitor, 7, &error));
  ck_assert (cs_monitor_stop (monitor, &error));
  cs_monitor_forget_events (monitor);
  ck_assert (cs_monitor_cont (monitor, &error));
  cs_monitor_set_deadline (monitor, g_get_monotonic_time () + 10000);
  ck_assert_ptr_null (cs_monitor_wait_event (monitor, "STOP", NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_DEADLINE);
  g_clear_error (&error);
  cs_monitor_set_deadline (monitor, 0);
  ck_assert (!cs_monitor_execute (monitor, "never", NULL, NULL, &error));
  unit_assert_error (error, CS_ERROR_GONE);
  ck_assert (!cs_monitor_is_alive (monitor));
  finish (fake, monitor);
}
END_TEST

START_TEST (old_qemu)
{
  static const FakeStep steps[] = {
    { FAKE_SEND, FAKE_GREETING_OF (7) },
    { FAKE_EXPECT, "qmp_capabilities" },
    { FAKE_SEND, RETURN (1, "{}") },
    { FAKE_END },
  };
  FakeQmp *fake = fake_qmp_start (steps);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_monitor_open_qmp (fake_qmp_path (fake), &error));
  unit_assert_error (error, CS_ERROR_UNSUPPORTED);
  ck_assert_ptr_nonnull (strstr (error->message, "7.0.2"));
  finish (fake, NULL);
}
END_TEST

START_TEST (nobody_there)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_monitor_open_qmp ("/nonexistent/qmp", &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_autofree char *text = g_strnfill (200, 'x');
  ck_assert_ptr_null (cs_monitor_open_qmp (text, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);

  /* What a killed QEMU leaves behind. */
  g_autofree char *directory = g_dir_make_tmp ("clusnap-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "qmp", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq (bind (fd, (struct sockaddr *)&address, sizeof address), 0);
  close (fd);
  ck_assert_ptr_null (cs_monitor_open_qmp (path, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
  unlink (path);
  rmdir (directory);
}
END_TEST

/* One obstacle each: the replies to precheck's questions, in its order. */
#define RUNNING "{\"status\": \"running\", \"running\": true}"
static const struct
{
  const char *status, *migrate, *confidential, *type, *peripheral, *anonymous, *network;
  int code; /* -1: none */
  const char *word;
} cases[] = {
  { RUNNING, "{}", "\"\"", "\"pc-q35-10.0-machine\"",
    "[{\"name\": \"n\", \"type\": \"child<virtio-net-pci>\"}]", "[]",
    "\"n: index=0,type=nic,x\\r\\n \\\\ vhost-user0: index=0,type=tap,ifname=t\\r\\n\"", -1, NULL },
  { "{\"status\": \"paused\", \"running\": false}", NULL, NULL, NULL, NULL, NULL, NULL,
    CS_ERROR_STATE, "is paused" },
  { "{\"status\": \"inmigrate\", \"running\": false}", NULL, NULL, NULL, NULL, NULL, NULL,
    CS_ERROR_STATE, "incoming migration" },
  { "{\"status\": \"strange\", \"running\": false}", NULL, NULL, NULL, NULL, NULL, NULL,
    CS_ERROR_STATE, "'strange'" },
  { RUNNING, "{\"status\": \"active\"}", NULL, NULL, NULL, NULL, NULL, CS_ERROR_BUSY, "active" },
  { RUNNING, "{\"status\": \"completed\", \"blocked-reasons\": [\"because\", \"whatever\"]}", NULL,
    NULL, NULL, NULL, NULL, CS_ERROR_REFUSED, "because; whatever" },
  { RUNNING, "{}", "\"/objects/sev0\"", NULL, NULL, NULL, NULL, CS_ERROR_REFUSED, "confidential" },
  { RUNNING, "{}", "\"\"", "\"pc-i440fx-2.3-machine\"", NULL, NULL, NULL, CS_ERROR_REFUSED,
    "pc-i440fx-2.3" },
  { RUNNING, "{}", "\"\"", "\"pc-i440fx-2.4-machine\"",
    "[{\"name\": \"fs0\", \"type\": \"child<vhost-user-fs-pci>\"}]", NULL, NULL, CS_ERROR_REFUSED,
    "'fs0'" },
  { RUNNING, "{}", "\"\"", "\"microvm-machine\"", "[]",
    "[{\"name\": \"device[0]\", \"type\": \"child<vfio-pci>\"}]", NULL, CS_ERROR_REFUSED,
    "'device[0]'" },
  { RUNNING, "{}", "\"\"", "\"pc-q35-10.0-machine\"", "[]", "[]",
    "\"n: index=0,type=nic\\n \\\\ net7: index=0,type=vhost-user,c\\n\"", CS_ERROR_REFUSED,
    "'net7'" },
};

/* At an address where we have nothing mapped. */
static const char ramblocks[] =
    "{\"human-readable-text\": \" Block Name    PSize              Offset               Used       "
    "  "
    "     Total                HVA  RO\\n mem0    4 KiB  0x0000000000000000 0x0000000010000000 "
    "0x0000000010000000 0x0000000000001000  rw\\n\"}";

static char *
format_return (guint id, const char *value)
{
  return g_strdup_printf ("{\"return\": %s, \"id\": $%u}", value, id);
}

START_TEST (precheck)
{
  const char *const questions[] = {
    "query-status", "query-migrate",         "qom-get",         "qom-get", "qom-list",
    "qom-list",     "human-monitor-command", "x-query-ramblock"
  };
  const char *const answers[] = { cases[_i].status,       cases[_i].migrate,
                                  cases[_i].confidential, cases[_i].type,
                                  cases[_i].peripheral,   cases[_i].anonymous,
                                  cases[_i].network,      cases[_i].code < 0 ? ramblocks : NULL };
  char *texts[G_N_ELEMENTS (questions)] = { NULL };
  FakeStep steps[3 + 2 * G_N_ELEMENTS (questions) + 1] = { FAKE_HELLO };
  FakeStep *step = steps + 3;
  for (guint i = 0; i < G_N_ELEMENTS (questions) && answers[i] != NULL; i++)
    {
      texts[i] = format_return (i + 2, answers[i]);
      *step++ = (FakeStep){ FAKE_EXPECT, questions[i] };
      *step++ = (FakeStep){ FAKE_SEND, texts[i] };
    }
  FakeQmp *fake = fake_qmp_start (steps);
  g_autoptr (GError) error = NULL;
  CsMonitor *monitor = cs_monitor_open_qmp (fake_qmp_path (fake), &error);
  unit_assert_no_error (error);
  bool good = cs_precheck (monitor, &error);
  if (cases[_i].code < 0)
    unit_assert_no_error (error);
  else
    {
      ck_assert (!good);
      unit_assert_error (error, cases[_i].code);
      ck_assert_msg (strstr (error->message, cases[_i].word) != NULL, "%s", error->message);
      ck_assert_msg (strstr (error->message, cs_monitor_name (monitor)) != NULL, "%s",
                     error->message);
    }
  finish (fake, monitor);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
}
END_TEST

START_TEST (types)
{
  static const char *const bad[] = { "vhost-user-blk-pci", "vfio-pci",        "vfio-pci-nohotplug",
                                     "vhost-vdpa-device",  "ivshmem-plain",   "vhost-scsi-pci",
                                     "vhost-user-gpu",     "ivshmem-doorbell" };
  static const char *const good[] = { "virtio-net-pci", "vhost-vsock-pci", "virtio-blk-pci", "" };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (cs_qom_refused_type (bad[i]) != NULL, "%s", bad[i]);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    ck_assert_msg (cs_qom_refused_type (good[i]) == NULL, "%s", good[i]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("monitor");
  TCase *tests = tcase_create ("monitor");
  tcase_set_timeout (tests, 60);
  tcase_add_test (tests, front);
  tcase_add_test (tests, old_qemu);
  tcase_add_test (tests, nobody_there);
  tcase_add_loop_test (tests, precheck, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tests, types);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
