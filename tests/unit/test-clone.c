/* The rewriting of a VM's source for a clone: nothing is made. */
#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/clone-argv.h"
#include "vmm/clone-overlay.h"
#include "vmm/clone-plan.h"
#include "vmm/clone-xml.h"
#include "vmm/qemu-option.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

/* Two disks: /d/a.raw and /d/b.qcow2. */
static const char document[] =
    "{\"name\":\"vm1\",\"image\":\"I\",\"disks\":["
    "{\"name\":\"d0\",\"node\":\"n0\",\"filename\":\"/d/a.raw\",\"format\":\"raw\","
    "\"size\":1048576,\"cluster-size\":0,\"writeback\":false},"
    "{\"name\":\"d1\",\"node\":\"n1\",\"filename\":\"/d/b.qcow2\",\"format\":\"qcow2\","
    "\"size\":1048576,\"cluster-size\":65536,\"writeback\":false}]}";

typedef struct
{
  CsClonePlan *plan;
  CsClonePlanVm *vm;
  json_object *document;
} Fixture;

static void
fixture_clear (Fixture *fixture)
{
  cs_clone_plan_free (fixture->plan);
  json_object_put (fixture->document);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

static void
fixture_begin (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;
  fixture->document = json_tokener_parse (document);
  fixture->plan = cs_clone_plan_new ("lab", "/c/lab", &error);
  unit_assert_no_error (error);
  fixture->vm = cs_clone_plan_add_vm (fixture->plan, fixture->document, &error);
  unit_assert_no_error (error);
}

static const char *
bridge_of (const char *ifname, void *data)
{
  return g_str_has_prefix (ifname, "a") ? "bra" : g_str_has_prefix (ifname, "b") ? "brb" : NULL;
}

/* Arguments are separated by blanks.  The id becomes ID, a UUID becomes UUID. */
static char *
rewrite (Fixture *fixture, const char *line, GError **error)
{
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  CsCloneArgvContext context = { .directory = "/w", .bridge_of = bridge_of };
  g_auto (GStrv) out =
      cs_clone_argv_rewrite (fixture->vm, (const char *const *)argv, &context, error);
  if (out == NULL)
    return NULL;
  g_autofree char *text = g_strjoinv (" ", out);
  g_autoptr (GRegex) uuid =
      g_regex_new ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", 0, 0, NULL);
  g_autoptr (GRegex) id = g_regex_new ("csc-[0-9a-z]{6}", 0, 0, NULL);
  g_autofree char *no_uuid = g_regex_replace_literal (uuid, text, -1, 0, "UUID", 0, NULL);
  return g_regex_replace_literal (id, no_uuid, -1, 0, "csc-ID", 0, NULL);
}

static const struct
{
  const char *before, *after;
} rewritten[] = {
  { "q -S -m 64 -nodefaults", "q -S -m 64 -nodefaults" },
  { "q -name a", "q -name lab-a" },
  { "q --name guest=a,,b,debug-threads=on", "q --name guest=lab-a,,b,debug-threads=on" },
  { "q -uuid 0b0c4a68-5b8f-4b9b-8f0a-0d4d5a3c2b1a", "q -uuid UUID" },
  { "q -append root=/dev/sda,path=/x -kernel /boot/k",
    "q -append root=/dev/sda,path=/x -kernel /boot/k" },
  { "q -qmp unix:/r/v.qmp,server=on,wait=off", "q -qmp unix:/c/lab/vm0/v.qmp,server=on,wait=off" },
  { "q -qmp unix:v.qmp,server,nowait -monitor mon:unix:/w/v.qmp,server=on",
    "q -qmp unix:/c/lab/vm0/v.qmp,server,nowait -monitor mon:unix:/c/lab/vm0/v.qmp,server=on" },
  { "q -qmp unix:/r/a,,b,server=on", "q -qmp unix:/c/lab/vm0/a_b,server=on" },
  { "q -chardev socket,id=c,path=/r/1.s,server=on,logfile=/r/1.log,logappend=on -serial chardev:c",
    "q -chardev socket,id=c,path=/c/lab/vm0/1.s,server=on,logfile=/c/lab/vm0/1.log,logappend=on "
    "-serial chardev:c" },
  { "q -serial file:/r/out -parallel none -pidfile /r/p -D log",
    "q -serial file:/c/lab/vm0/out -parallel none -pidfile /c/lab/vm0/p -D /c/lab/vm0/log" },
  { "q -serial unix:/r/x/s,server=on -serial unix:/r/y/s,server=on",
    "q -serial unix:/c/lab/vm0/s,server=on -serial unix:/c/lab/vm0/1-s,server=on" },
  { "q -serial unix:/r/.hidden,server=on -serial unix:/r/..,server=on",
    "q -serial unix:/c/lab/vm0/_hidden,server=on -serial unix:/c/lab/vm0/_,server=on" },
  { "q -netdev tap,id=n,ifname=a0,script=no,vhost=off",
    "q -netdev tap,id=n,ifname=csc-IDt0,script=no,vhost=off,downscript=no" },
  { "q -netdev tap,id=n,ifname=a0 -netdev tap,id=m,ifname=b0 -nic bridge,br=bra",
    "q -netdev tap,id=n,ifname=csc-IDt0,script=no,downscript=no "
    "-netdev tap,id=m,ifname=csc-IDt1,script=no,downscript=no "
    "-nic tap,ifname=csc-IDt2,script=no,downscript=no" },
  { "q -netdev {\"type\":\"tap\",\"id\":\"n\",\"ifname\":\"a0\"}",
    "q -netdev {\"type\":\"tap\",\"id\":\"n\",\"ifname\":\"csc-IDt0\",\"script\":\"no\","
    "\"downscript\":\"no\"}" },
  { "q -netdev user,id=n,restrict=on -nic none", "q -netdev user,id=n,restrict=on -nic none" },
  { "q -blockdev driver=file,node-name=f0,filename=/d/a.raw,aio=native,cache.direct=on "
    "-blockdev driver=raw,node-name=n0,file=f0 -device virtio-blk-pci,drive=n0",
    "q -blockdev "
    "driver=file,node-name=f0,filename=/c/lab/vm0/disk0.qcow2,aio=native,cache.direct=on "
    "-blockdev driver=qcow2,node-name=n0,file=f0 -device virtio-blk-pci,drive=n0" },
  { "q -blockdev driver=raw,node-name=n0,file.driver=host_device,file.filename=/d/a.raw",
    "q -blockdev driver=qcow2,node-name=n0,file.driver=file,file.filename=/c/lab/vm0/disk0.qcow2" },
  { "q -blockdev file,node-name=n0,filename=/d/a.raw,aio=threads,cache.direct=on,discard=unmap",
    "q -blockdev qcow2,node-name=n0,cache.direct=on,discard=unmap,file.aio=threads,"
    "file.driver=file,file.filename=/c/lab/vm0/disk0.qcow2" },
  { "q -blockdev {\"driver\":\"qcow2\",\"node-name\":\"n1\",\"file\":{\"driver\":\"file\","
    "\"filename\":\"/d/b.qcow2\"},\"backing\":\"base\"}",
    "q -blockdev {\"driver\":\"qcow2\",\"node-name\":\"n1\",\"file\":{\"driver\":\"file\","
    "\"filename\":\"/c/lab/vm0/disk1.qcow2\"}}" },
  { "q -blockdev file,node-name=bf,filename=/d/base -blockdev raw,node-name=b,file=bf "
    "-blockdev file,node-name=f,filename=/d/b.qcow2 -blockdev qcow2,node-name=n,file=f,backing=b",
    "q -blockdev file,node-name=bf,filename=/d/base,read-only=on "
    "-blockdev raw,node-name=b,file=bf,read-only=on "
    "-blockdev file,node-name=f,filename=/c/lab/vm0/disk1.qcow2 "
    "-blockdev qcow2,node-name=n,file=f" },
  { "q -drive file=/d/a.raw,format=raw,if=virtio,cache=none,aio=native",
    "q -drive file=/c/lab/vm0/disk0.qcow2,format=qcow2,if=virtio,cache=none,aio=native" },
  { "q -drive file=/d/b.qcow2,if=none,id=x",
    "q -drive file=/c/lab/vm0/disk1.qcow2,if=none,id=x,format=qcow2" },
  { "q -hda ../d/a.raw", "q -drive file=/c/lab/vm0/disk0.qcow2,format=qcow2,index=0,media=disk" },
  { "q /d/a.raw", "q -drive file=/c/lab/vm0/disk0.qcow2,format=qcow2,index=0,media=disk" },
  { "q -drive file=/iso,media=cdrom -drive file=/x,format=raw,readonly=on -cdrom /y",
    "q -drive file=/iso,media=cdrom -drive file=/x,format=raw,readonly=on -cdrom /y" },
  { "q -drive if=pflash,format=raw,unit=0,readonly=on,file=/ovmf -drive "
    "if=pflash,format=raw,file=/v/vars",
    "q -drive if=pflash,format=raw,unit=0,readonly=on,file=/ovmf "
    "-drive if=pflash,format=raw,file=/c/lab/vm0/vars" },
  { "q -machine q35,pflash1=v -blockdev file,node-name=vf,filename=/v/vars -blockdev "
    "raw,node-name=v,file=vf",
    "q -machine q35,pflash1=v -blockdev file,node-name=vf,filename=/c/lab/vm0/vars "
    "-blockdev raw,node-name=v,file=vf" },
  { "q -device vmgenid,guid=auto,id=g", "q -device vmgenid,guid=UUID,id=g" },
  { "q -device {\"driver\":\"vmgenid\",\"guid\":\"auto\"}",
    "q -device {\"driver\":\"vmgenid\",\"guid\":\"UUID\"}" },
  { "q -object rng-random,id=e,filename=/dev/urandom",
    "q -object rng-random,id=e,filename=/dev/urandom" },
  { "q -object memory-backend-file,id=m,size=64M,mem-path=/dev/shm/vm1,share=on",
    "q -object memory-backend-file,id=m,size=64M,mem-path=/dev/shm/csc-ID-vm0-0,share=on" },
  { "q -object memory-backend-file,id=m,size=64M,mem-path=/dev/shm",
    "q -object memory-backend-file,id=m,size=64M,mem-path=/dev/shm" },
  { "q -vnc 127.0.0.1:3,password=on", "q -vnc 127.0.0.1:0,password=on,to=999" },
  { "q -vnc unix:/r/vnc -display vnc=:1 -vnc none",
    "q -vnc unix:/c/lab/vm0/vnc -display vnc=:0,to=999 -vnc none" },
};

START_TEST (argv_rewritten)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = rewrite (&fixture, rewritten[_i].before, &error);
  unit_assert_no_error (error);
  ck_assert_str_eq (out, rewritten[_i].after);
}
END_TEST

/* What is refused, and a word of the reason. */
static const struct
{
  const char *line, *word;
} refused[] = {
  { "q -qmp tcp:127.0.0.1:4444,server=on", "-qmp tcp" },
  { "q -qmp unix:/r/v.qmp", "connects" },
  { "q -qmp unix:/r/v.qmp,server=off", "connects" },
  { "q -qmp unix:/r/v.qmp,,server=on", "connects" },
  { "q -serial /dev/ttyS0", "-serial" },
  { "q -serial pipe:/r/p", "pipe" },
  { "q -serial telnet::4444,server=on", "telnet" },
  { "q -serial udp::4555@:4556", "udp" },
  { "q -chardev socket,id=c,host=127.0.0.1,port=7", "port" },
  { "q -chardev socket,id=c,path=x,server=on,abstract=on", "abstract" },
  { "q -chardev serial,id=c,path=/dev/ttyS0", "serial" },
  { "q -chardev file,id=c,path=/o,input-path=/i", "file" },
  { "q -netdev user,id=n,hostfwd=tcp::2222-:22", "hostfwd" },
  { "q -netdev {\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":\"tcp::2222-:22\"}]}",
    "hostfwd" },
  { "q -nic user,smb=/srv", "smb" },
  { "q -netdev socket,id=n,mcast=230.0.0.1:1234", "socket" },
  { "q -netdev vhost-user,id=n,chardev=c", "vhost-user" },
  { "q -blockdev file,node-name=x,filename=/other", "/other" },
  { "q -blockdev file,node-name=x,filename=/d/a.raw,,b", "/d/a.raw,b" },
  { "q -blockdev qcow2,node-name=x,file.driver=nbd,file.path=/s", "qcow2" },
  { "q -blockdev nbd,node-name=x,path=/s", "nbd" },
  { "q -blockdev raw,node-name=n,offset=512,file.driver=file,file.filename=/d/a.raw", "offset" },
  { "q -blockdev {\"node-name\":\"x\"}", "driver" },
  { "q -drive file=/other,format=raw", "/other" },
  { "q -drive file=/d/a.raw,snapshot=on", "/d/a.raw" },
  { "q -drive file=nbd:unix:/s", "nbd" },
  { "q -hda /other", "/other" },
  { "q /other", "/other" },
  { "q -device vfio-pci,host=01:00.0", "vfio" },
  { "q -device vhost-vsock-pci,guest-cid=3", "vhost-vsock" },
  { "q -device usb-host,hostbus=1", "usb-host" },
  { "q -object memory-backend-epc,id=m", "epc" },
  { "q -object input-linux,id=i,evdev=/dev/input/event1", "input-linux" },
  { "q -tpmdev passthrough,id=t", "-tpmdev" },
  { "q -s", "-s" },
  { "q -gdb tcp::1234", "-gdb" },
  { "q -readconfig /f", "-readconfig" },
  { "q -virtfs local,path=/srv,mount_tag=s,security_model=none", "-virtfs" },
  { "q -icount 1,rr=record,rrfile=/f", "rrfile" },
  { "q -spice port=5900", "-spice" },
  { "q -vnc :1,websocket=5700", "websocket" },
  { "q -m", "missing" },
};

START_TEST (argv_refused)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = rewrite (&fixture, refused[_i].line, &error);
  ck_assert_msg (out == NULL, "%s", out);
  unit_assert_error (error, CS_ERROR_REFUSED);
  ck_assert_msg (strstr (error->message, refused[_i].word) != NULL
                     && strstr (error->message, "VM 'vm1'") != NULL,
                 "%s: %s", refused[_i].line, error->message);
}
END_TEST

static const char *const broken[] = { "q -blockdev {", "q -chardev ,,=x,", "q -device {}}" };

START_TEST (argv_broken)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = rewrite (&fixture, broken[_i], &error);
  ck_assert_msg (out == NULL, "%s", out);
  ck_assert_ptr_nonnull (error);
}
END_TEST

/* One bridge for each of the original's; both taps of one land on the same. */
START_TEST (networks)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out =
      rewrite (&fixture,
               "q -netdev tap,id=n,ifname=a0 -netdev tap,id=m,ifname=b0,queues=2 "
               "-netdev tap,id=o,ifname=a1",
               &error);
  unit_assert_no_error (error);
  json_object *record = cs_clone_plan_record (fixture.plan);
  json_object *bridges = cs_json_array (record, "bridges"), *taps = cs_json_array (record, "taps");
  ck_assert_uint_eq (json_object_array_length (bridges), 2);
  ck_assert_uint_eq (json_object_array_length (taps), 3);
  const char *on[3];
  for (guint i = 0; i < 3; i++)
    {
      json_object *tap = json_object_array_get_idx (taps, i);
      on[i] = cs_json_string (tap, "bridge");
      ck_assert_uint_lt (strlen (cs_json_string (tap, "name")), 16);
      ck_assert_uint_lt (strlen (on[i]), 16);
      ck_assert_int_eq (json_object_get_boolean (json_object_object_get (tap, "multi-queue")),
                        i == 1);
    }
  ck_assert_str_eq (on[0], on[2]);
  ck_assert_str_ne (on[0], on[1]);
}
END_TEST

/* Every disk once. */
START_TEST (disks_checked)
{
  static const char *const lines[] = { "q -hda /d/a.raw", "q -hda /d/a.raw -hdb /d/b.qcow2",
                                       "q -hda /d/a.raw -hdb /d/b.qcow2 "
                                       "-drive file=/d/a.raw,if=none" };
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = rewrite (&fixture, lines[_i], &error);
  unit_assert_no_error (error);
  bool good = cs_clone_plan_vm_check (fixture.vm, &error);
  ck_assert_int_eq (good, _i == 1);
  if (!good)
    unit_assert_error (error, CS_ERROR_REFUSED);
}
END_TEST

START_TEST (document_of_clone)
{
  g_auto (Fixture) fixture = { 0 };
  fixture_begin (&fixture);
  cs_clone_plan_vm_set_source (fixture.vm, json_object_new_object ());
  g_autoptr (CsJson) clone = cs_clone_plan_vm_document (fixture.vm, fixture.document);
  json_object *disk = json_object_array_get_idx (cs_json_array (clone, "disks"), 0);
  ck_assert_str_eq (cs_json_string (disk, "filename"), "/c/lab/vm0/disk0.qcow2");
  ck_assert_str_eq (cs_json_string (disk, "format"), "qcow2");
  ck_assert_str_eq (cs_json_string (disk, "name"), "d0");
  ck_assert_str_eq (cs_json_string (clone, "image"), "I");
  ck_assert_ptr_nonnull (strstr (cs_json_string (disk, "backing-file"), "reconnect-delay"));
  json_object *old = json_object_array_get_idx (cs_json_array (fixture.document, "disks"), 0);
  ck_assert_str_eq (cs_json_string (old, "filename"), "/d/a.raw");
}
END_TEST

static const char *const bad_names[][2] = {
  { "", "/c" }, { "../x", "/c" }, { "a/b", "/c" }, { "a b", "/c" },  { "a", "/c,x" },
  { "a", "c" }, { "a", "/c:d" },  { "a", "/c'd" }, { "a", "/c\nd" }, { "-a", "/c" },
};

START_TEST (names_refused)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (cs_clone_plan_new (bad_names[_i][0], bad_names[_i][1], &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

/* ---- libvirt ---- */

#define DOMAIN(devices)                                                                            \
  "<domain type='kvm' id='3'><name>orig</name><uuid>0b0c4a68-5b8f-4b9b-8f0a-0d4d5a3c2b1a</uuid>"   \
  "<genid>11111111-5b8f-4b9b-8f0a-0d4d5a3c2b1a</genid><memory>1</memory><os><type>hvm</type>"      \
  "<nvram>/v/vars.fd</nvram></os><devices>" devices "</devices></domain>"
#define DISKS                                                                                      \
  "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/>"      \
  "<source file='/d/a.raw' index='2'/><backingStore/><target dev='vda'/></disk>"                   \
  "<disk type='block' device='disk'><driver name='qemu' type='qcow2'/>"                            \
  "<source dev='/d/b.qcow2'/><backingStore type='file'><source file='/d/base'/></backingStore>"    \
  "<target dev='vdb'/></disk>"

static const char whole[] = DOMAIN (
    DISKS
    "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/></disk>"
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/>"
    "<target dev='vnet7'/><model type='virtio'/></interface>"
    "<interface type='network'><source network='default' bridge='br0'/></interface>"
    "<interface type='network'><source network='other'/><virtualport/></interface>"
    "<serial type='unix'><source mode='bind' path='/r/1.serial'/><log file='/r/1.log'/></serial>"
    "<console type='unix'><source mode='bind' path='/r/1.serial'/></console>"
    "<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/x'/></channel>"
    "<serial type='pty'><source path='/dev/pts/3'/></serial>"
    "<graphics type='vnc' port='5901'/><rng model='virtio'><backend model='random'/></rng>");

static const struct
{
  const char *text;
  bool there;
} in_clone[] = {
  { "<name>lab-orig</name>", true },
  { "0b0c4a68", false },
  { "11111111", false },
  { "id=\"3\"", false },
  { "<nvram>/c/lab/vm0/vars.fd</nvram>", true },
  { "/d/a.raw", false },
  { "/d/b.qcow2", false },
  { "/d/base", false },
  { "<source file=\"/c/lab/vm0/disk0.qcow2\"/>", true },
  { "<source file=\"/c/lab/vm0/disk1.qcow2\"/>", true },
  { "type=\"qcow2\" cache=\"none\" io=\"native\"", true },
  { "<source protocol=\"nbd\" name=\"d0\">", true },
  { "<source protocol=\"nbd\" name=\"d1\">", true },
  { "<host transport=\"unix\" socket=\"/c/lab/nbd0.sock\"/>", true },
  { "<reconnect delay=\"3600\"/>", true },
  { "/iso", true },
  { "52:54:00:00:00:01", true },
  { "br0", false },
  { "vnet7", false },
  { "network=\"", false },
  { "virtualport", false },
  { "path=\"/c/lab/vm0/1.serial\"", true },
  { "file=\"/c/lab/vm0/1.log\"", true },
  { "/r/", false },
  { "/var/lib/libvirt", false },
  { "/dev/pts", false },
  { "5901", false },
};

START_TEST (xml_rewritten)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = cs_clone_xml_rewrite (fixture.vm, whole, "lab-orig", &error);
  unit_assert_no_error (error);
  ck_assert (cs_clone_plan_vm_check (fixture.vm, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (in_clone); i++)
    ck_assert_msg ((strstr (out, in_clone[i].text) != NULL) == in_clone[i].there, "'%s' in %s",
                   in_clone[i].text, out);
  ck_assert_ptr_nonnull (strstr (out, cs_clone_plan_vm_uuid (fixture.vm)));
  /* br0, and the network that is br0, are one; "other" is another. */
  json_object *bridges = cs_json_array (cs_clone_plan_record (fixture.plan), "bridges");
  ck_assert_uint_eq (json_object_array_length (bridges), 2);
}
END_TEST

static const struct
{
  const char *xml, *word;
} xml_refused[] = {
  { DOMAIN ("<hostdev mode='subsystem' type='pci'/>"), "hostdev" },
  { DOMAIN ("<tpm model='tpm-crb'/>"), "tpm" },
  { DOMAIN ("<shmem name='x'/>"), "shmem" },
  { DOMAIN ("<vsock/>"), "vsock" },
  { DOMAIN ("<filesystem type='mount'><source dir='/srv'/></filesystem>"), "filesystem" },
  { DOMAIN ("<interface type='direct'><source dev='eth0'/></interface>"), "direct" },
  { DOMAIN ("<interface type='vhostuser'/>"), "vhostuser" },
  { DOMAIN ("<interface type='bridge'/>"), "interface" },
  { DOMAIN ("<disk type='file' device='disk'><source file='/other'/></disk>"), "/other" },
  { DOMAIN ("<disk type='network' device='disk'><source protocol='rbd'/></disk>"), "disk" },
  { DOMAIN ("<disk type='file' device='disk'><source file='/d/a.raw'/><shareable/></disk>"),
    "shareable" },
  { DOMAIN ("<serial type='tcp'><source mode='bind' host='0' service='7'/></serial>"), "tcp" },
  { DOMAIN ("<serial type='unix'><source mode='connect' path='/x'/></serial>"), "/x" },
  { DOMAIN ("<serial type='dev'><source path='/dev/ttyS0'/></serial>"), "dev" },
  { DOMAIN ("<rng><backend model='egd'/></rng>"), "egd" },
  { DOMAIN ("<memory model='nvdimm'/>"), "nvdimm" },
  { DOMAIN ("<brandnew/>"), "brandnew" },
  { "<domain><name>a</name><launchSecurity/></domain>", "launchSecurity" },
  { "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name>"
    "<qemu:commandline><qemu:arg value='-netdev'/><qemu:arg value='user,id=n,hostfwd=tcp::1-:2'/>"
    "</qemu:commandline></domain>",
    "hostfwd" },
};

START_TEST (xml_refuses)
{
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = cs_clone_xml_rewrite (fixture.vm, xml_refused[_i].xml, "lab-a", &error);
  ck_assert_msg (out == NULL, "%s", out);
  unit_assert_error (error, CS_ERROR_REFUSED);
  ck_assert_msg (strstr (error->message, xml_refused[_i].word) != NULL, "%s", error->message);
}
END_TEST

START_TEST (xml_keeps_passthrough)
{
  static const char xml[] =
      "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name>"
      "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='edu'/>"
      "<qemu:env name='A' value='B'/></qemu:commandline></domain>";
  g_auto (Fixture) fixture = { 0 };
  g_autoptr (GError) error = NULL;
  fixture_begin (&fixture);
  g_autofree char *out = cs_clone_xml_rewrite (fixture.vm, xml, "lab-a", &error);
  unit_assert_no_error (error);
  ck_assert_ptr_nonnull (strstr (out, "<qemu:arg value=\"edu\"/>"));
  ck_assert_ptr_nonnull (strstr (out, "<qemu:env name=\"A\" value=\"B\"/>"));
}
END_TEST

/* ---- overlays ---- */

/* qemu-img finds nothing wrong with it. */
START_TEST (overlay_is_sound)
{
  static const guint64 sizes[] = { 512, 1 << 20, (G_GUINT64_CONSTANT (5) << 40) + 512 };
  g_autoptr (GError) error = NULL;
  g_autofree char *qemu_img = g_find_program_in_path ("qemu-img");
  if (qemu_img == NULL)
    return;
  g_autofree char *directory = g_dir_make_tmp ("clusnap-overlay-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "o.qcow2", NULL);
  ck_assert (cs_clone_overlay_make (
      path, sizes[_i], "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"null-co\"}}", &error));
  unit_assert_no_error (error);
  ck_assert (!cs_clone_overlay_make (path, sizes[_i], "x", &error));
  unit_assert_error (error, CS_ERROR_EXISTS);
  g_autoptr (GSubprocess) check = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE, NULL,
                                                    qemu_img, "check", "-q", path, NULL);
  ck_assert (g_subprocess_wait_check (check, NULL, NULL));
  g_autofree char *text = NULL;
  g_autoptr (GSubprocess) info = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, NULL, qemu_img,
                                                   "info", "--output=json", path, NULL);
  ck_assert (g_subprocess_communicate_utf8 (info, NULL, NULL, &text, NULL, NULL));
  g_autoptr (CsJson) described = json_tokener_parse (text);
  ck_assert_uint_eq (cs_json_uint (described, "virtual-size", 0), sizes[_i]);
  ck_assert_str_eq (cs_json_string (described, "backing-filename"),
                    "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"null-co\"}}");
  ck_assert_str_eq (cs_json_string (described, "backing-filename-format"), "raw");
  ck_assert_int_eq (remove (path) | remove (directory), 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("clone");
  TCase *tcase = tcase_create ("clone");
  tcase_add_loop_test (tcase, argv_rewritten, 0, G_N_ELEMENTS (rewritten));
  tcase_add_loop_test (tcase, argv_refused, 0, G_N_ELEMENTS (refused));
  tcase_add_loop_test (tcase, argv_broken, 0, G_N_ELEMENTS (broken));
  tcase_add_test (tcase, networks);
  tcase_add_loop_test (tcase, disks_checked, 0, 3);
  tcase_add_test (tcase, document_of_clone);
  tcase_add_loop_test (tcase, names_refused, 0, G_N_ELEMENTS (bad_names));
  tcase_add_test (tcase, xml_rewritten);
  tcase_add_loop_test (tcase, xml_refuses, 0, G_N_ELEMENTS (xml_refused));
  tcase_add_test (tcase, xml_keeps_passthrough);
  tcase_add_loop_test (tcase, overlay_is_sound, 0, 3);
  suite_add_tcase (suite, tcase);
  return unit_run (suite);
}
