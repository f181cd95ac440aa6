#include "Program.h"

#include <fstream>

namespace {

struct Bad {
    const char *arguments, *expected;
};

const Bad bad[] = {
    {"", "strobe takes a command: list, explain, compile, run, check, bench or demo; strobe --help says"},
    {"bench cuasal", "there is no algorithm cuasal (did you mean causal?)"},
    {"run full head_dim=wide", "head_dim of full can't be 'wide': it must be a whole number"},
    {"lisst", "there is no command lisst (did you mean list?)"},
    {"run cuasal", "there is no algorithm cuasal (did you mean causal?)"},
    {"run full --kv-head 2", "strobe run has no option --kv-head (did you mean --kv-heads?)"},
    {"--hlep", "has no option --hlep (did you mean --help?)"},
    {"check softcap cap=100", "scalar cap is 100; it must be in [0.001, 40]"},
    {"check softcap caps=10", "softcap has no scalar or setting caps (did you mean cap?)"},
    {"compile causal head_dm=64", "causal has no scalar or setting head_dm (did you mean head_dim?)"},
    {"run causal valu_dim=64", "causal has no scalar or setting valu_dim (did you mean value_dim?)"},
    {"compile causal window=64", "causal has no scalar or setting window (known: scale, dtype, head_dim, value_dim)"},
    {"explain full --target cuda-sm_91", "there is no target cuda-sm_91 (did you mean cuda-sm_90a?)"},
    {"check softcap cap=wide", "cap can't be 'wide'; it must be a number"},
    {"run full dtype=fp9", "can't be 'fp9': it must be bf16, fp16 or fp32"},
    {"run full head_dim=0", "head_dim is 0; it must be in [1, 1024]"},
    {"run full dtype=fp32 -S 0", "queries is 0; it must be at least 1"},
    {"run full dtype=fp32 -H 6 --kv-heads 4", "heads must be a multiple of kv-heads"},
    {"explain", "strobe explain takes one algorithm; got 0"},
    {"compile full causal", "strobe compile takes one algorithm; got 2"},
    {"compile softcap cap=3", "cap is a scalar of the compiled function"},
    {"explain full --target cuda-sm_91a", "there is no target cuda-sm_91a (did you mean cuda-sm_90a?)"},
    {"demo /no/such/folder", "there is no folder /no/such/folder"},
};

class BadCommands : public testing::TestWithParam<Bad> {};

}  // namespace

TEST_P(BadCommands, are_refused) {
    const Outcome outcome = strobe_program(GetParam().arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.text;
    expect_in(GetParam().expected, outcome);
    EXPECT_EQ(outcome.text.find("internal error"), std::string::npos) << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(, BadCommands, testing::ValuesIn(bad));

TEST(BadFiles, mistake_in_a_schedule_is_pointed_at) {
    const std::string path = testing::TempDir() + "strobe_bad.strobe";
    std::ofstream(path) << "tile(i, 64)\nstraem(j, 128)\n";
    const Outcome outcome = strobe_program("explain full dtype=fp32 --schedule " + path);
    EXPECT_EQ(outcome.code, 2) << outcome.text;
    expect_in(path + ":2:1: error: ", outcome);
    expect_in("    straem(j, 128)\n    ^~~~~~", outcome);
    expect_in("stream", outcome);
    EXPECT_EQ(outcome.text.find("error: " + path), std::string::npos) << outcome.text;
}

TEST(BadFiles, missing_schedule) {
    const Outcome outcome = strobe_program("explain full --schedule /no/such.strobe");
    EXPECT_EQ(outcome.code, 3) << outcome.text;
    expect_in("/no/such.strobe", outcome);
}

TEST(BadFiles, unwritable_json) {
    const Outcome outcome =
        strobe_program("bench full dtype=fp32 head_dim=8 -S 8 --seconds 0.01 --json /no/such/x.json");
    EXPECT_EQ(outcome.code, 3) << outcome.text;
    expect_in("can't write /no/such/x.json", outcome);
}
