#include "config.h"

#include "common/error.h"
#include "tests/unit/unit.h"
#include "vmm/block-graph.h"
#include "vmm/disk-read.h"
#include "vmm/disk.h"

#include <string.h>

static const char good[] =
    "{\"name\":\"vda\",\"node\":\"libvirt-1-format\",\"filename\":\"/img/a b.qcow2\","
    "\"format\":\"qcow2\",\"backing-file\":\"base.img\",\"backing-format\":\"raw\","
    "\"size\":5242368,\"cluster-size\":65536,\"writeback\":true}";

static CsDisk *
parse (const char *text, GError **error)
{
  json_object *object = json_tokener_parse (text);
  CsDisk *disk = cs_disk_from_json (object, error);
  json_object_put (object);
  return disk;
}

START_TEST (json_round_trip)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CsDisk) disk = parse (good, &error);
  unit_assert_no_error (error);
  json_object *object = cs_disk_to_json (disk);
  ck_assert_str_eq (json_object_to_json_string_ext (object, JSON_C_TO_STRING_PLAIN
                                                                | JSON_C_TO_STRING_NOSLASHESCAPE),
                    good);
  json_object_put (object);
  ck_assert_str_eq (disk->backing_format, "raw");
  ck_assert_uint_eq (disk->size, 5242368);
  ck_assert (disk->writeback);
}
END_TEST

/* Each row: a part of the good text, and what makes it bad. */
static const char *const bad[][2] = {
  { "\"name\":\"vda\"", "\"name\":\"\"" },
  { "\"name\":\"vda\"", "\"name\":\"v\\nda\"" },
  { "\"name\":\"vda\"", "\"name\":7" },
  { "\"node\":\"libvirt-1-format\",", "" },
  { "/img/a b.qcow2", "img/relative.qcow2" },
  { "\"format\":\"qcow2\"", "\"format\":\"vmdk\"" },
  { "\"format\":\"qcow2\"", "\"format\":\"raw\"" },
  { "5242368", "0" },
  { "5242368", "-512" },
  { "5242368", "1000" },
  { "5242368", "\"5242368\"" },
  { "5242368", "9223372036854775296" },
  { "65536", "0" },
  { "65536", "65537" },
  { "65536", "4194304" },
  { "65536", "-1" },
  { "\"backing-format\":\"raw\",", "" },
  { "\"backing-file\":\"base.img\",", "" },
  { "\"backing-format\":\"raw\"", "\"backing-format\":\"--help\"" },
};

START_TEST (json_is_validated)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) parts = g_strsplit (good, bad[_i][0], 2);
  ck_assert_ptr_nonnull (parts[1]);
  g_autofree char *text = g_strconcat (parts[0], bad[_i][1], parts[1], NULL);
  ck_assert_ptr_null (parse (text, &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

START_TEST (json_of_another_type)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (parse ("[]", &error));
  unit_assert_error (error, CS_ERROR_INVALID);
}
END_TEST

/* Every wanted page comes once, in order, with the right kind, in pieces that are not too long. */
START_TEST (pieces_cover_what_is_wanted)
{
  const guint64 pages = 5000, max = 7;
  g_autoptr (CsBitmap) wanted = cs_bitmap_new (pages);
  g_autoptr (CsBitmap) data = cs_bitmap_new (pages);
  g_autoptr (CsBitmap) seen = cs_bitmap_new (pages);
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)_i);
  for (int i = 0; i < 60; i++)
    {
      guint64 first = (guint64)g_rand_int_range (random, 0, 5000);
      guint64 count = (guint64)g_rand_int_range (random, 0, (gint32)MIN (100, 5000 - first) + 1);
      cs_bitmap_set_range (i % 2 ? wanted : data, first, count);
    }
  guint64 page = 0, count = 0, before = 0;
  bool zero;
  for (; cs_disk_next_piece (wanted, data, max, &page, &count, &zero); page += count)
    {
      ck_assert_uint_ge (page, before);
      ck_assert_uint_gt (count, 0);
      ck_assert (zero || count <= max);
      for (guint64 i = page; i < page + count; i++)
        ck_assert (cs_bitmap_test (wanted, i) && cs_bitmap_test (data, i) == !zero);
      cs_bitmap_set_range (seen, page, count);
      before = page + count;
    }
  cs_bitmap_and_not (wanted, seen);
  ck_assert_uint_eq (cs_bitmap_count (wanted), 0);
}
END_TEST

/* A throttle filter above a qcow2 disk with a backing file, under somebody's mirror. */
static const char nodes_text[] =
    "[{\"node-name\":\"limit\",\"drv\":\"throttle\"},{\"node-name\":\"top\",\"drv\":\"qcow2\"},"
    "{\"node-name\":\"top-file\",\"drv\":\"file\"},{\"node-name\":\"base\",\"drv\":\"raw\"},"
    "{\"node-name\":\"base-file\",\"drv\":\"host_device\"}]";
static const char graph_text[] =
    "{\"nodes\":[{\"id\":1,\"name\":\"limit\",\"type\":\"block-driver\"},"
    "{\"id\":2,\"name\":\"top\",\"type\":\"block-driver\"},"
    "{\"id\":3,\"name\":\"top-file\",\"type\":\"block-driver\"},"
    "{\"id\":4,\"name\":\"base\",\"type\":\"block-driver\"},"
    "{\"id\":5,\"name\":\"base-file\",\"type\":\"block-driver\"},"
    "{\"id\":6,\"name\":\"top\",\"type\":\"block-backend\"},"
    "{\"id\":7,\"name\":\"commit\",\"type\":\"block-job\"},"
    "{\"id\":8,\"name\":\"clusnap-job0\",\"type\":\"block-job\"}],"
    "\"edges\":[{\"parent\":6,\"child\":1,\"name\":\"root\"},"
    "{\"parent\":1,\"child\":2,\"name\":\"file\"},{\"parent\":2,\"child\":3,\"name\":\"file\"},"
    "{\"parent\":2,\"child\":4,\"name\":\"backing\"},{\"parent\":4,\"child\":5,\"name\":\"file\"},"
    "{\"parent\":7,\"child\":4,\"name\":\"base\"},{\"parent\":8,\"child\":2,\"name\":\"main\"}]}";

START_TEST (graph_is_walked)
{
  json_object *nodes = json_tokener_parse (nodes_text);
  json_object *edges = json_tokener_parse (graph_text);
  g_autoptr (CsBlockGraph) graph = cs_block_graph_new (nodes, edges);
  ck_assert_str_eq (cs_block_graph_skip_filters (graph, "limit"), "top");
  ck_assert_str_eq (cs_block_graph_skip_filters (graph, "base"), "base");
  ck_assert_str_eq (cs_block_graph_below (graph, "limit"), "top");
  ck_assert_str_eq (cs_block_graph_below (graph, "top"), "base");
  ck_assert_ptr_null (cs_block_graph_below (graph, "base"));
  ck_assert_str_eq (cs_block_graph_protocol (graph, "base"), "base-file");
  ck_assert_str_eq (cs_block_graph_job (graph, "base", "clusnap-"), "commit");
  ck_assert_ptr_null (cs_block_graph_job (graph, "top", "clusnap-"));
  ck_assert_str_eq (cs_block_graph_job (graph, "top", "other-"), "clusnap-job0");
  ck_assert_ptr_null (cs_block_graph_child (graph, "no such node", "file"));
  json_object_put (nodes);
  json_object_put (edges);
}
END_TEST

START_TEST (graph_bears_nonsense)
{
  static const char *const texts[] = {
    "[]",
    "{\"nodes\":7,\"edges\":[null]}",
    "{\"nodes\":[{\"id\":1,\"name\":\"limit\",\"type\":\"block-driver\"}],"
    "\"edges\":[{\"parent\":1,\"child\":1,\"name\":\"file\"}]}",
  };
  json_object *nodes = json_tokener_parse (nodes_text);
  json_object *edges = json_tokener_parse (texts[_i]);
  g_autoptr (CsBlockGraph) graph = cs_block_graph_new (nodes, edges);
  ck_assert_ptr_null (cs_block_graph_skip_filters (graph, "limit"));
  ck_assert_ptr_nonnull (cs_block_graph_protocol (graph, "limit"));
  json_object_put (nodes);
  json_object_put (edges);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("disk");
  TCase *tests = tcase_create ("disk");
  tcase_add_test (tests, json_round_trip);
  tcase_add_loop_test (tests, json_is_validated, 0, (int)G_N_ELEMENTS (bad));
  tcase_add_test (tests, json_of_another_type);
  tcase_add_loop_test (tests, pieces_cover_what_is_wanted, 0, 20);
  tcase_add_test (tests, graph_is_walked);
  tcase_add_loop_test (tests, graph_bears_nonsense, 0, 3);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
