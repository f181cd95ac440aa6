// The plan of every shipped algorithm, with what was derived and why, compared with
// tests/golden/plans/*.txt.

#include "../tile/Golden.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "derivation/SlowParts.h"
#include "driver/Instance.h"

#include <regex>

using namespace strobe;

namespace {

class Plans : public testing::TestWithParam<std::string> {};

}  // namespace

TEST_P(Plans, Golden) {
    const Instance instance = build_algorithm(GetParam(), {}, Halide::get_host_target());
    const ReductionGraph graph = read_algorithm(instance.outputs);
    const Plan plan = derive_online(graph);
    std::ostringstream text;
    text << plan;
    for (const std::string &slow : slow_parts(graph, plan)) {
        text << "slow: " << slow << "\n";
    }
    // Halide numbers Funcs of one name in one process.
    test::expect_golden("plans/" + GetParam() + ".txt", std::regex_replace(text.str(), std::regex("\\$[0-9]+"), ""));
}

INSTANTIATE_TEST_SUITE_P(, Plans, testing::ValuesIn(registered_algorithms()),
                         [](const testing::TestParamInfo<std::string> &info) { return info.param; });
