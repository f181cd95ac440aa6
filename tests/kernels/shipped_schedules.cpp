// Every schedule in schedules/ is legal for the algorithms it is written for, and on
// sm_90a becomes a kernel on the matrix unit without spills.

#include "MatrixCode.h"
#include "driver/Instance.h"
#include "schedule/CheckSchedule.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <gtest/gtest.h>

#include <filesystem>

using namespace Halide;
using namespace strobe;

namespace {

namespace fs = std::filesystem;

struct Use {
    fs::path file;
    std::string algorithm;
};

std::ostream &operator<<(std::ostream &stream, const Use &use) {
    return stream << use.file.stem().string() << "_" << use.algorithm;
}

/** The algorithms that a schedule is for, by the last part of its name: d64_causal. */
std::vector<std::string> algorithms_of(const fs::path &file) {
    static const std::map<std::string, std::vector<std::string>> known = {
        {"", {"full", "alibi", "softcap"}}, {"full", {"full", "alibi", "softcap"}}, {"causal", {"causal", "prefix_lm"}},
        {"window", {"sliding_window"}},     {"document", {"document_mask"}},
    };
    const std::string name = file.stem().string();
    const size_t underscore = name.find('_');
    const bool sized = name[0] == 'd' && name.size() > 1 && std::isdigit(static_cast<unsigned char>(name[1]));
    const std::string kind = !sized ? name : underscore == std::string::npos ? "" : name.substr(underscore + 1);
    const auto found = known.find(kind);
    return found == known.end() ? std::vector<std::string>() : found->second;
}

std::vector<fs::path> files_in(const std::string &folder) {
    std::vector<fs::path> files;
    for (const auto &entry : fs::directory_iterator(fs::path(STROBE_SOURCE_DIR) / "schedules" / folder)) {
        if (entry.path().extension() == ".strobe") {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::vector<Use> uses_in(const std::string &folder) {
    std::vector<Use> uses;
    for (const fs::path &file : files_in(folder)) {
        for (const std::string &algorithm : algorithms_of(file)) {
            uses.push_back({file, algorithm});
        }
    }
    return uses;
}

/** "d128_causal" -> "128" */
std::string head_of(const fs::path &file) {
    const std::string name = file.stem().string();
    return name.substr(1, name.find('_') - 1);
}

class GpuSchedules : public testing::TestWithParam<Use> {};

TEST_P(GpuSchedules, Assemble) {
    const Use use = GetParam();
    const Instance instance =
        build_algorithm(use.algorithm, {{"dtype", "bf16"}, {"head_dim", head_of(use.file)}}, get_host_target());
    const Schedule schedule = load_schedule(use.file.string());
    const CudaCompilation c = compile_cuda(instance.outputs, Target("x86-64-linux-cuda"), schedule);
    ASSERT_EQ(c.package.plans.size(), 1u) << "it leaves too much open\n" << c.package.plans[0].schedule;
    test::expect_matrix_code(c, "bf16");
}

const auto name_of_use = [](const testing::TestParamInfo<Use> &info) { return testing::PrintToString(info.param); };

INSTANTIATE_TEST_SUITE_P(Shipped, GpuSchedules, testing::ValuesIn(uses_in("sm_90")), name_of_use);

class CpuSchedules : public testing::TestWithParam<Use> {};

TEST_P(CpuSchedules, AreLegal) {
    const Use use = GetParam();
    const Instance instance =
        build_algorithm(use.algorithm, {{"dtype", "fp32"}, {"head_dim", "64"}}, get_host_target());
    const Schedule schedule = load_schedule(use.file.string());
    const Compilation c = compile(instance.outputs, Target("x86-64-linux-avx2-fma"), schedule);
    const Directive *tile = schedule.find("tile");
    ASSERT_NE(tile, nullptr);
    EXPECT_EQ(std::to_string(c.choices.query_tile), tile->arguments.at(1).value);
}

INSTANTIATE_TEST_SUITE_P(Shipped, CpuSchedules, testing::ValuesIn(uses_in("cpu")), name_of_use);

TEST(ShippedSchedules, AllHaveAnAlgorithm) {
    for (const char *folder : {"sm_90", "cpu"}) {
        EXPECT_FALSE(files_in(folder).empty()) << folder;
        for (const fs::path &file : files_in(folder)) {
            EXPECT_FALSE(algorithms_of(file).empty()) << file << " is for no algorithm that this test knows";
        }
    }
}

}  // namespace
