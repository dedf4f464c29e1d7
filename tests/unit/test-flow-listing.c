/* What nftables lists, and what QEMU says of a VM's network. */
#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/flow-listing.h"
#include "vmm/vm-network.h"

#include <string.h>

START_TEST (addresses)
{
  guint64 mac = 0;
  ck_assert (cs_mac_parse ("52:54:00:c5:0A:ff", &mac));
  ck_assert_uint_eq (mac, 0x525400c50affu);
  ck_assert (cs_mac_parse ("ff:ff:ff:ff:ff:ff", &mac) && (mac & CS_MAC_GROUP) != 0);
  ck_assert (cs_mac_parse ("33:33:00:00:00:01", &mac) && (mac & CS_MAC_GROUP) != 0);
  ck_assert (cs_mac_parse ("52:54:00:c5:00:01", &mac) && (mac & CS_MAC_GROUP) == 0);
  const char *bad[] = { NULL,
                        "",
                        "52:54:00:c5:00",
                        "52:54:00:c5:00:0g",
                        "52-54-00-c5-00-01",
                        "52:54:00:c5:00:01 ",
                        "5:254:00:c5:00:01",
                        "525400c50001xxxxx" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (!cs_mac_parse (bad[i], &mac), "'%s' was taken", bad[i]);
}
END_TEST

static char *
corpus (const char *name)
{
  char *text = NULL;
  const char *srcdir = g_getenv ("srcdir");
  g_autofree char *path =
      g_build_filename (srcdir ? srcdir : ".", "tests/fuzz/flow-listing", name, NULL);
  ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "cannot read '%s'", path);
  return text;
}

START_TEST (listing)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = corpus ("nft-1.0.6");
  g_autoptr (GPtrArray) sets = cs_flow_listing_parse (text, &error);
  unit_assert_no_error (error);
  ck_assert_uint_eq (sets->len, 2);
  const CsFlowSet *set = cs_flow_listing_find (sets, "tap3");
  ck_assert (set != NULL && set->handle == 7 && set->size == 8 && set->has_chain);
  ck_assert_uint_eq (set->flows->len, 2);
  const CsFlow *flow = &g_array_index (set->flows, CsFlow, 0);
  ck_assert_uint_eq (flow->source, 0x7ea467c693d5u);
  ck_assert_uint_eq (flow->destination, 0x525400000007u);
  ck_assert_uint_eq (flow->frames, 3);
  ck_assert (!cs_flow_set_is_full (set));
  set = cs_flow_listing_find (sets, "tap4");
  ck_assert (set != NULL && set->flows->len == 0 && !set->has_chain);
  ck_assert_ptr_null (cs_flow_listing_find (sets, "tap5"));
  ck_assert_ptr_null (cs_flow_listing_find (NULL, "tap5"));
}
END_TEST

START_TEST (listing_ends)
{
  g_autofree char *none = corpus ("empty"), *full = corpus ("full");
  g_autoptr (GPtrArray) no_sets = cs_flow_listing_parse (none, NULL);
  ck_assert (no_sets != NULL && no_sets->len == 0);
  g_autoptr (GPtrArray) sets = cs_flow_listing_parse (full, NULL);
  ck_assert (sets != NULL && sets->len == 1);
  ck_assert (cs_flow_set_is_full (g_ptr_array_index (sets, 0)));
}
END_TEST

/* Never half a listing. */
START_TEST (malformed)
{
  static const char *const texts[] = {
    "",
    "null",
    "[]",
    "{",
    "{\"nftables\": {}}",
    "{\"nftables\": [",
    "{\"nftables\": 1}",
    "{\"nftables\": [{\"set\": {}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 0, \"size\": 1}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1}}]}",
    "{\"nftables\": [{\"set\": {\"name\": 5, \"handle\": 1, \"size\": 1}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1, \"size\": 1, \"elem\": [7]}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1, \"size\": 1, \"elem\": [{\"elem\": "
    "{\"val\": {\"concat\": [\"00:00:00:00:00:01\"]}, \"counter\": {\"packets\": 1}}}]}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1, \"size\": 1, \"elem\": [{\"elem\": "
    "{\"val\": {\"concat\": [\"00:00:00:00:00:01\", 5]}, \"counter\": {\"packets\": 1}}}]}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1, \"size\": 1, \"elem\": [{\"elem\": "
    "{\"val\": {\"concat\": [\"00:00:00:00:00:01\", \"00:00:00:00:00:02\"]}}}]}}]}",
    "{\"nftables\": [{\"set\": {\"name\": \"a\", \"handle\": 1, \"size\": 1, \"elem\": [{\"elem\": "
    "{\"val\": {\"concat\": [\"00:00:00:00:00:01\", \"00:00:00:00:00:02\"]}, \"counter\": "
    "{\"packets\": -1}}}]}}]}",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) sets = cs_flow_listing_parse (texts[i], &error);
      ck_assert_msg (sets == NULL, "'%s' was taken", texts[i]);
      unit_assert_error (error, CS_ERROR_CORRUPT);
    }
}
END_TEST

START_TEST (network)
{
  bool has_tap;
  g_autoptr (GArray) macs = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autofree char *id = cs_vm_network_parse (
      "vnet: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:c5:01:00\r\n"
      " \\ net: index=0,type=tap,ifname=t0,script=no,downscript=no\r\n"
      "e: index=0,type=nic,model=e1000,macaddr=52:54:00:c5:01:02\r\n"
      " \\ u: index=0,type=user,net=10.0.2.0,restrict=off\r\n",
      macs, &has_tap);
  ck_assert_ptr_null (id);
  ck_assert (has_tap);
  ck_assert_uint_eq (macs->len, 2);
  ck_assert_uint_eq (g_array_index (macs, guint64, 1), 0x525400c50102u);
  g_autofree char *other = cs_vm_network_parse (
      "n: index=0,type=nic,macaddr=bad\n \\ sock: index=0,type=socket,\n", macs, &has_tap);
  ck_assert_str_eq (other, "sock");
  ck_assert (!has_tap && macs->len == 2);
  g_autofree char *none = cs_vm_network_parse (NULL, macs, &has_tap);
  ck_assert_ptr_null (none);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("flow-listing");
  TCase *all = tcase_create ("all");
  tcase_add_test (all, addresses);
  tcase_add_test (all, listing);
  tcase_add_test (all, listing_ends);
  tcase_add_test (all, malformed);
  tcase_add_test (all, network);
  suite_add_tcase (suite, all);
  return unit_run (suite);
}
