#include "Program.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

namespace {

/** A folder of this test's own, empty. */
fs::path scratch() {
    const auto *info = testing::UnitTest::GetInstance()->current_test_info();
    const fs::path path =
        fs::path(testing::TempDir()) / (std::string("strobe_") + info->test_suite_name() + info->name());
    fs::remove_all(path);
    fs::create_directories(path);
    return path;
}

std::string contents(const fs::path &path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

size_t count(const std::string &text, const std::string &part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        n++;
    }
    return n;
}

}  // namespace

TEST(Commands, help_teaches) {
    const Outcome help = strobe_program("--help");
    EXPECT_EQ(help.code, 0);
    for (const char *command : {"list", "explain", "compile", "run", "bench", "check", "demo"}) {
        expect_in(command, help);
        const Outcome own = strobe_program(std::string(command) + " --help");
        EXPECT_EQ(own.code, 0) << own.text;
        if (std::string(command) != "list") {
            expect_in("Example", own);
        }
    }
}

TEST(Commands, list_names_algorithms_inputs_and_scalars) {
    const Outcome list = strobe_program("list");
    EXPECT_EQ(list.code, 0);
    expect_in("document_mask    q, k, v, document; scale=", list);
    expect_in("window=256", list);
}

TEST(Commands, explain_says_which_kernel) {
    const Outcome explain = strobe_program("explain causal dtype=fp32 --target cuda-sm_90a");
    EXPECT_EQ(explain.code, 0) << explain.text;
    expect_in("general, which is slower", explain);
    expect_in("type float32", explain);
    expect_in("kernel(general)", explain);
}

TEST(Commands, explain_gives_reasons) {
    const Outcome explain = strobe_program("explain causal dtype=fp32");
    EXPECT_EQ(explain.code, 0) << explain.text;
    expect_in("weighted_sum", explain);
    expect_in("free of j", explain);
    expect_in("stream", explain);
}

TEST(Commands, check_agrees) {
    const Outcome check =
        strobe_program("check causal sliding_window dtype=fp32 head_dim=16 -S 37 --keys 53 -H 4 --kv-heads 2 -B 2");
    EXPECT_EQ(check.code, 0) << check.text;
    EXPECT_EQ(count(check.text, "  ok\n"), 4u) << check.text;
}

TEST(Commands, run_prints_time_and_shapes) {
    const Outcome run = strobe_program("run softcap cap=20 dtype=fp32 head_dim=16 value_dim=8 -S 40 -H 2");
    EXPECT_EQ(run.code, 0) << run.text;
    expect_in("GFLOP/s", run);
    expect_in("8 x 40 x 2 x 1", run);
}

TEST(Commands, compile_writes_library_and_header) {
    const fs::path folder = scratch();
    const Outcome compile =
        strobe_program("compile full dtype=fp32 head_dim=16 --name mine -o " + (folder / "sub" / "full").string());
    EXPECT_EQ(compile.code, 0) << compile.text;
    EXPECT_TRUE(fs::exists(folder / "sub" / "full.a"));
    EXPECT_NE(contents(folder / "sub" / "full.h").find("int mine("), std::string::npos);
}

TEST(Commands, compile_tells_where_time_goes) {
    const fs::path folder = scratch();
    const Outcome compile =
        strobe_program("compile full dtype=fp32 head_dim=16 --timings -o " + (folder / "full").string());
    EXPECT_EQ(compile.code, 0) << compile.text;
    for (const char *stage : {"read algorithm", "derive", "schedule", "build tiles", "lower", "Halide, LLVM", "in all"}) {
        expect_in(stage, compile);
    }
}

TEST(Commands, explain_lists_the_plans_of_a_package) {
    const Outcome two = strobe_program("explain softcap dtype=bf16 head_dim=64 --target cuda-sm_90a");
    EXPECT_EQ(two.code, 0) << two.text;
    expect_in("2 in a package; the launcher takes", two);
    expect_in("at j=16384", two);
    const Outcome general = strobe_program("explain full dtype=fp32 --target cuda-sm_90a");
    EXPECT_EQ(general.code, 0) << general.text;
    expect_in("kernel:              general, which is slower", general);
    expect_in("float32", general);
}

/** A schedule may go through the batch before the next head. */
TEST(Commands, check_agrees_in_another_order_of_blocks) {
    const fs::path file = scratch() / "order.strobe";
    std::ofstream(file) << "tile(i, 32) stream(j, 64) blocks(i, b, h)\n";
    const Outcome check = strobe_program("check document_mask dtype=fp32 head_dim=16 -S 70 -B 3 -H 2 --schedule " +
                                         file.string());
    EXPECT_EQ(check.code, 0) << check.text;
    const Outcome explain = strobe_program("explain document_mask dtype=fp32 --schedule " + file.string());
    expect_in("block (i by 32, b, h)", explain);
}

TEST(Commands, bench_writes_json) {
    const fs::path folder = scratch();
    const Outcome bench = strobe_program("bench causal dtype=fp32 head_dim=16 -S 64 --seconds 0.05 --json " +
                                         (folder / "rows.json").string());
    EXPECT_EQ(bench.code, 0) << bench.text;
    const std::string json = contents(folder / "rows.json");
    EXPECT_EQ(count(json, "\"variant\": \"causal\""), 2u) << json;
    EXPECT_EQ(count(json, "\"system\": \"strobe\""), 1u) << json;
}

TEST(Commands, demo_on_a_folder_draws_every_algorithm) {
    const fs::path folder = scratch();
    const Outcome demo =
        strobe_program("demo " STROBE_SOURCE_DIR "/src/support -S 256 -H 1 --head-dim 16 -o " + folder.string());
    EXPECT_EQ(demo.code, 0) << demo.text;
    EXPECT_EQ(count(demo.text, "  ok\n"), 7u) << demo.text;
    const std::string causal = contents(folder / "causal.svg");
    EXPECT_NE(causal.find("</svg>"), std::string::npos) << causal;
    EXPECT_NE(causal.find("partial"), std::string::npos) << causal;
}
