#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/source-argv.h"
#include "vmm/source-xml.h"
#include "vmm/source.h"

#include <string.h>

static char *
clean (const char *line, GError **error)
{
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_auto (GStrv) out = cs_source_argv_clean ((const char *const *)argv, error);
  return out != NULL ? g_strjoinv (" ", out) : NULL;
}

static const struct
{
  const char *before, *after;
} cleaned[] = {
  { "q -m 64 -qmp unix:/q,server=on", "q -m 64 -qmp unix:/q,server=on" },
  { "q -S -m 64 -incoming defer -daemonize", "q -m 64" },
  { "q --S --incoming tcp:0:4444 --loadvm tag -m 64", "q -m 64" },
  { "q -m 64 -pidfile /run/q.pid -incoming defer -S", "q -m 64 -pidfile /run/q.pid" },
  { "q -append fd=7,fds=1 -name fd=3", "q -append fd=7,fds=1 -name fd=3" },
  { "q -drive file=/x/fd=3,,fd=4,format=raw", "q -drive file=/x/fd=3,,fd=4,format=raw" },
  { "q -device virtio-blk,id=fd", "q -device virtio-blk,id=fd" },
  { "-S -S", "-S" },
};

START_TEST (argv_clean)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = clean (cleaned[_i].before, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (out, cleaned[_i].after);
  g_autofree char *again = clean (out, &error);
  ck_assert_str_eq (again, out);
}
END_TEST

static const char *const handed[] = {
  "q -netdev tap,id=n,fd=23",
  "q -netdev tap,id=n,fds=23:24,vhostfds=25:26",
  "q -netdev tap,id=n,ifname=t,vhost=on,vhostfd=9",
  "q -netdev {\"type\":\"tap\",\"fd\":\"32\",\"id\":\"hostnet0\"}",
  "q -chardev socket,id=c,fd=4",
  "q -netdev stream,id=n,addr.type=fd,addr.str=5",
  "q -netdev {\"type\":\"stream\",\"addr\":{\"type\":\"fd\",\"str\":\"x\"},\"id\":\"n\"}",
  "q -add-fd fd=3,set=2",
  "q --add-fd set=2,fd=3",
  "q -drive file=/dev/fdset/2,format=raw",
  "q -blockdev {\"driver\":\"file\",\"filename\":\"/dev/fdset/3\",\"node-name\":\"f\"}",
  "q -hda /dev/fd/7",
  "q -kernel /proc/self/fd/5",
  "q -device vhost-vsock-pci,guest-cid=3,vhostfd=3",
};

START_TEST (argv_refused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = clean (handed[_i], &error);
  ck_assert_msg (out == NULL, "%s", out);
  unit_assert_error (error, CS_ERROR_REFUSED);
}
END_TEST

#define NS "xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\""
static const char *const domains[] = {
  "<domain type='kvm'>\n  <name>a</name>\n  <uuid>u-1</uuid>\n  <devices/>\n</domain>\n",
  "<domain type='kvm' " NS
  "><name>a</name><uuid>u-1</uuid><qemu:commandline><qemu:arg value='-cpu'/>"
  "<qemu:arg value='max'/><qemu:env name='A' value='B'/></qemu:commandline></domain>",
  "<domain type='kvm' " NS
  "><uuid>u-1</uuid><qemu:override><qemu:device alias='x'/></qemu:override>"
  "</domain>",
};

static guint
count (const char *text, const char *word)
{
  guint n = 0;
  for (const char *at = text; (at = strstr (at, word)) != NULL; at++)
    n++;
  return n;
}

START_TEST (xml_there_and_back)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *plain = cs_source_xml_strip_incoming (domains[_i], &error);
  unit_assert_no_error (error);
  g_autofree char *once = cs_source_xml_add_incoming (plain, &error);
  g_autofree char *twice = cs_source_xml_add_incoming (once, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (once, twice);
  ck_assert_uint_eq (count (once, "value=\"-incoming\""), 1);
  ck_assert_uint_eq (count (once, "value=\"defer\""), 1);
  ck_assert_uint_eq (count (once, "xmlns:qemu"), 1);
  g_autofree char *back = cs_source_xml_strip_incoming (twice, &error);
  ck_assert_str_eq (back, plain);
  ck_assert_ptr_null (strstr (back, "\n  \n"));
  ck_assert_uint_eq (count (back, "incoming"), 0);
  ck_assert_uint_eq (count (back, "value=\"-cpu\""), _i == 1 ? 1 : 0);
  ck_assert_uint_eq (count (back, "xmlns:qemu"), _i == 0 ? 0 : 1);
  g_autofree char *uuid = cs_source_xml_uuid (back, &error);
  ck_assert_str_eq (uuid, "u-1");
}
END_TEST

/* The lazy backing image is there at the launch, and nowhere in what a snapshot keeps. */
START_TEST (xml_backing)
{
  static const char xml[] =
      "<domain><uuid>u-1</uuid><devices>"
      "<disk type='file'><source file='/a.raw'/></disk>"
      "<disk type='file'><source file='/b.qcow2'/><target dev='vdb'/></disk></devices></domain>";
  g_autoptr (GError) error = NULL;
  g_autofree char *backed =
      cs_source_xml_set_backing (xml, "/b.qcow2", "/run/clusnap-serve-1", "b", 5, &error);
  unit_assert_no_error (error);
  g_autofree char *launched = cs_source_xml_add_incoming (backed, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (count (launched, "socket=\"/run/clusnap-serve-1\""), 1);
  ck_assert_uint_eq (count (launched, "delay=\"5\""), 1);
  g_autofree char *kept = cs_source_xml_strip_incoming (launched, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (count (kept, "nbd"), 0);
  ck_assert_uint_eq (count (kept, "<backingStore/>"), 1);
  ck_assert_ptr_null (cs_source_xml_set_backing (xml, "/c", "/s", "c", 5, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

/* The same of a raw disk, which is another image then; and of libvirt's copy back. */
START_TEST (xml_overlay)
{
  static const char xml[] =
      "<domain><uuid>u-1</uuid><devices>"
      "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>"
      "<source file='/a.raw' index='1'/><backingStore/><target dev='vda'/></disk>"
      "<disk type='file'><driver type='raw'/><source file='/b.raw'/><shareable/></disk>"
      "<disk type='file'><driver type='qcow2'/><source file='/c.qcow2'/></disk></devices></domain>";
  static const char mirror[] =
      "<mirror type='file' job='copy' ready='yes'><source file='/a.raw'/></mirror>"
      "<target dev=\"vda\"/>";
  g_autoptr (GError) error = NULL;
  CsSourceCopy copy;
  ck_assert (cs_source_xml_can_overlay (xml, "/a.raw", "raw"));
  ck_assert (!cs_source_xml_can_overlay (xml, "/b.raw", "raw"));
  ck_assert (!cs_source_xml_can_overlay (xml, "/c.qcow2", "raw"));
  ck_assert (cs_source_xml_can_overlay (xml, "/c.qcow2", "qcow2"));
  ck_assert (!cs_source_xml_can_overlay (xml, "/d.raw", "raw"));
  g_autofree char *backed =
      cs_source_xml_set_backing (xml, "/a.raw", "/run/clusnap-serve-1", "a", 5, &error);
  g_autofree char *launched =
      cs_source_xml_set_overlay (backed, "/a.raw", "/a.raw.clusnap-lazy", &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (count (launched, "/a.raw.clusnap-lazy\""), 1);
  ck_assert_uint_eq (count (launched, "type=\"qcow2\" cache=\"none\""), 1);
  g_autofree char *idle = cs_source_xml_get_disk (launched, "/a.raw.clusnap-lazy", &copy, &error);
  unit_assert_no_error (error);
  ck_assert_int_eq (copy, CS_SOURCE_COPY_NONE);
  ck_assert_str_eq (idle, "<disk type=\"file\" device=\"disk\"><driver name=\"qemu\" type=\"raw\" "
                          "cache=\"none\"/><source file=\"/a.raw\"/><backingStore/>"
                          "<target dev=\"vda\"/></disk>");
  char **halves = g_strsplit (launched, "<target dev=\"vda\"/>", 2);
  g_autofree char *copied = g_strconcat (halves[0], mirror, halves[1], NULL);
  g_strfreev (halves);
  g_autofree char *same = cs_source_xml_get_disk (copied, "/a.raw.clusnap-lazy", &copy, &error);
  unit_assert_no_error (error);
  ck_assert_int_eq (copy, CS_SOURCE_COPY_READY);
  ck_assert_str_eq (same, idle);
  g_autofree char *kept = cs_source_xml_strip_incoming (copied, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (count (kept, "nbd") + count (kept, "lazy") + count (kept, "mirror"), 0);
  ck_assert_ptr_null (cs_source_xml_get_disk (kept, "/a.raw.clusnap-lazy", &copy, &error));
  unit_assert_error (error, CS_ERROR_NOT_FOUND);
}
END_TEST

/* Of a qcow2 image that has a backing image of its own, which libvirt finds by itself again. */
START_TEST (xml_overlay_qcow2)
{
  static const char xml[] =
      "<domain><uuid>u-1</uuid><devices><disk type='file' device='disk'><driver type='qcow2'/>"
      "<source file='/a.qcow2'/><backingStore type='file'><format type='raw'/>"
      "<source file='/base'/><backingStore/></backingStore><target dev='vda'/></disk></devices>"
      "</domain>";
  static const char overlay[] = "/a.qcow2.clusnap-lazy-qcow2";
  g_autoptr (GError) error = NULL;
  CsSourceCopy copy;
  ck_assert (cs_source_xml_can_overlay (xml, "/a.qcow2", "qcow2"));
  g_autofree char *backed =
      cs_source_xml_set_backing (xml, "/a.qcow2", "/run/clusnap-serve-1", "a", 5, &error);
  g_autofree char *launched = cs_source_xml_set_overlay (backed, "/a.qcow2", overlay, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (count (launched, "/base"), 0);
  ck_assert_uint_eq (count (launched, overlay), 1);
  g_autofree char *disk = cs_source_xml_get_disk (launched, overlay, &copy, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (disk, "<disk type=\"file\" device=\"disk\"><driver type=\"qcow2\"/>"
                          "<source file=\"/a.qcow2\"/><target dev=\"vda\"/></disk>");
}
END_TEST

static const char *const no_domains[] = {
  "",
  "<domain>",
  "<network/>",
  "no xml",
  "<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><uuid>&a;</uuid></domain>",
};

START_TEST (xml_refused)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_source_xml_add_incoming (no_domains[_i], &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

static const struct
{
  const char *json, *key;
} refs[] = {
  { "{\"name\":\"a\",\"qmp\":\"/run/x/../a.qmp\"}", "qmp:/run/a.qmp" },
  { "{\"name\":\"a\",\"uri\":\"qemu:///system\",\"domain\":\"web 1\"}",
    "libvirt:qemu:///system:web 1" },
  { "{\"name\":\"a\"}", NULL },
  { "{\"qmp\":\"/a\"}", NULL },
  { "{\"name\":\"../a\",\"qmp\":\"/a\"}", NULL },
  { "{\"name\":\".a\",\"qmp\":\"/a\"}", NULL },
  { "{\"name\":\"\",\"qmp\":\"/a\"}", NULL },
  { "{\"name\":7,\"qmp\":\"/a\"}", NULL },
  { "{\"name\":\"a\",\"qmp\":\"a.qmp\"}", NULL },
  { "{\"name\":\"a\",\"qmp\":\"/a\\u0000b\"}", NULL },
  { "{\"name\":\"a\",\"qmp\":\"/a\\nb\"}", NULL },
  { "{\"name\":\"a\",\"qmp\":\"/a\",\"uri\":\"u\",\"domain\":\"d\"}", NULL },
  { "{\"name\":\"a\",\"qmp\":\"/a\",\"uri\":\"u\"}", NULL },
  { "{\"name\":\"a\",\"uri\":\"u\"}", NULL },
  { "{\"name\":\"a\",\"domain\":\"d\"}", NULL },
  { "[]", NULL },
};

START_TEST (ref_parse)
{
  g_autoptr (GError) error = NULL;
  json_object *object = json_tokener_parse (refs[_i].json);
  g_autoptr (CsVmRef) ref = cs_vm_ref_from_json (object, &error);
  json_object_put (object);
  if (refs[_i].key == NULL)
    {
      ck_assert_ptr_null (ref);
      unit_assert_error (error, CS_ERROR_INVALID);
      return;
    }
  unit_assert_no_error (error);
  g_autoptr (CsVmRef) copy = cs_vm_ref_copy (ref);
  g_autofree char *key = cs_vm_ref_key (copy);
  ck_assert_str_eq (key, refs[_i].key);
}
END_TEST

static const char *const bad_sources[] = {
  "{}",
  "{\"transport\":\"tcp\"}",
  "{\"transport\":\"qmp\",\"socket\":\"/q\",\"directory\":\"/\"}",
  "{\"transport\":\"qmp\",\"socket\":\"/q\",\"directory\":\"/\",\"argv\":[]}",
  "{\"transport\":\"qmp\",\"socket\":\"/q\",\"directory\":\"/\",\"argv\":[1]}",
  "{\"transport\":\"qmp\",\"socket\":\"\",\"directory\":\"/\",\"argv\":[\"q\"]}",
  "{\"transport\":\"libvirt\",\"uri\":\"u\",\"domain\":\"d\",\"uuid\":\"i\"}",
};

START_TEST (source_refused)
{
  g_autoptr (GError) error = NULL;
  json_object *object = json_tokener_parse (bad_sources[_i]);
  ck_assert (!cs_source_check_absent (object, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  g_clear_error (&error);
  ck_assert_ptr_null (cs_source_launch (object, "/dev/null", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
  json_object_put (object);
}
END_TEST

/* A program that is no QEMU, and one that is not there: no process is left. */
START_TEST (launch_fails)
{
  static const char *const programs[] = { "/bin/false", "/nonexistent" };
  g_autofree char *text = g_strdup_printf (
      "{\"transport\":\"qmp\",\"socket\":\"/nonexistent/q\",\"directory\":\"/\",\"argv\":[\"%s\"]}",
      programs[_i]);
  g_autoptr (GError) error = NULL;
  json_object *object = json_tokener_parse (text);
  ck_assert (cs_source_check_absent (object, &error));
  ck_assert_ptr_null (cs_source_launch (object, "/dev/null", &error));
  unit_assert_error (error, _i == 0 ? CS_ERROR_FAILED : CS_ERROR_NOT_FOUND);
  json_object_put (object);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("source");
  TCase *tests = tcase_create ("source");
  tcase_add_loop_test (tests, argv_clean, 0, G_N_ELEMENTS (cleaned));
  tcase_add_loop_test (tests, argv_refused, 0, G_N_ELEMENTS (handed));
  tcase_add_loop_test (tests, xml_there_and_back, 0, G_N_ELEMENTS (domains));
  tcase_add_test (tests, xml_backing);
  tcase_add_test (tests, xml_overlay);
  tcase_add_test (tests, xml_overlay_qcow2);
  tcase_add_loop_test (tests, xml_refused, 0, G_N_ELEMENTS (no_domains));
  tcase_add_loop_test (tests, ref_parse, 0, G_N_ELEMENTS (refs));
  tcase_add_loop_test (tests, source_refused, 0, G_N_ELEMENTS (bad_sources));
  tcase_add_loop_test (tests, launch_fails, 0, 2);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
