#include "MatrixCode.h"

#include "Disassemble.h"

#include <gtest/gtest.h>

#include <regex>

namespace strobe::test {

int count(const std::string &text, const std::string &pattern) {
    const std::regex regex(pattern);
    return int(std::distance(std::sregex_iterator(text.begin(), text.end(), regex), std::sregex_iterator()));
}

void expect_matrix_code(const CudaCompilation &c, const std::string &type) {
    ASSERT_FALSE(c.general) << c.general_because;
    const int plans = int(c.stages.programs.size());  // others in the package are of the general form
    EXPECT_GE(count(c.ptx, "wgmma\\.mma_async\\.sync\\.aligned\\.m64n\\d+k16\\.f32\\." + type + "\\." + type), 2 * plans);
    EXPECT_EQ(count(c.ptx, "setmaxnreg\\.inc"), plans) << "the consumers";
    EXPECT_EQ(count(c.ptx, "strobe\\$"), 0) << "an intrinsic was not expanded";
    EXPECT_EQ(count(c.ptx, "call\\.uni"), 0) << "a call was left";
    EXPECT_EQ(count(c.ptx, "\\.local"), 0) << "local memory";
    if (!find_ptxas()) {
        GTEST_SKIP() << "there is no ptxas to assemble the kernel with";
    }
    EXPECT_TRUE(c.warnings.empty()) << c.statistics() << c.package.plans[0].schedule;
    for (const KernelStatistics &k : c.kernels) {
        EXPECT_EQ(k.spill_store_bytes + k.spill_load_bytes + k.stack_bytes, 0) << c.statistics();
    }
    const std::string sass = disassemble(c.package.code);
    if (sass.empty()) {
        GTEST_SKIP() << "there is no nvdisasm to look at the machine code with";
    }
    EXPECT_GE(count(sass, "HGMMA\\.64x"), 2 * plans) << "no matrix instructions in the machine code";
    EXPECT_EQ(count(sass, "\\b(LDL|STL)\\b"), 0) << "local memory in the machine code";
}

}  // namespace strobe::test
