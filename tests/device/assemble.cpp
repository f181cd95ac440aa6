#include "device/Assemble.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "support/Error.h"

namespace strobe {

namespace {

const char *const ptx = R"(
.version 8.0
.target sm_90a
.address_size 64

.visible .entry twice(.param .u64 at)
{
    .reg .b64 %p;
    .reg .f32 %x;
    .shared .align 4 .b8 scratch[256];
    ld.param.u64 %p, [at];
    ld.global.f32 %x, [%p];
    add.f32 %x, %x, %x;
    st.shared.f32 [scratch], %x;
    bar.sync 0;
    ld.shared.f32 %x, [scratch+4];
    st.global.f32 [%p], %x;
    ret;
}

.visible .entry nothing()
{
    ret;
}
)";

/** Sets an environment variable for as long as it lives. */
class Environment {
public:
    Environment(const char *name, const char *value) : name(name) {
        if (const char *old = std::getenv(name)) {
            before = old;
            had = true;
        }
        setenv(name, value, 1);
    }
    ~Environment() {
        had ? setenv(name, before.c_str(), 1) : unsetenv(name);
    }

private:
    const char *name;
    std::string before;
    bool had = false;
};

bool have_ptxas() {
    if (!find_ptxas()) {
        std::cout << "no ptxas on this machine: what it says is not tested\n";
        return false;
    }
    return true;
}

TEST(Assemble, ReportsEveryKernel) {
    if (!have_ptxas()) {
        GTEST_SKIP() << "no ptxas";
    }
    const auto assembly = assemble(ptx, "sm_90a");
    ASSERT_TRUE(assembly);
    EXPECT_EQ(assembly->cubin.substr(1, 3), "ELF");
    ASSERT_EQ(assembly->kernels.size(), 2u) << assembly->log;
    for (const KernelStatistics &kernel : assembly->kernels) {
        EXPECT_TRUE(kernel.entry == "twice" || kernel.entry == "nothing") << kernel.entry;
        EXPECT_GT(kernel.registers, 0) << assembly->log;
        EXPECT_EQ(kernel.stack_bytes, 0);
        EXPECT_EQ(kernel.shared_bytes, kernel.entry == "twice" ? 256 : 0) << assembly->log;
        EXPECT_EQ(kernel.barriers, kernel.entry == "twice" ? 1 : 0) << assembly->log;
    }
    EXPECT_FALSE(assembly->spills());
    EXPECT_FALSE(assembly->wgmma_serialized());
    EXPECT_TRUE(assembly->warnings.empty()) << assembly->warnings[0];
}

TEST(Assemble, SeesSpills) {
    if (!have_ptxas()) {
        GTEST_SKIP() << "no ptxas";
    }
    // 64 values live across a barrier, in a kernel that may have 24 registers.
    std::string body = ".version 8.0\n.target sm_90a\n.address_size 64\n"
                       ".visible .entry crowded(.param .u64 at)\n.maxnreg 24\n{\n"
                       ".reg .b64 %p;\n.reg .f32 %x<64>;\nld.param.u64 %p, [at];\n";
    for (int i = 0; i < 64; i++) {
        body += "ld.global.f32 %x" + std::to_string(i) + ", [%p+" + std::to_string(4 * i) + "];\n";
    }
    body += "bar.sync 0;\n";
    for (int i = 0; i < 64; i++) {
        body += "st.global.f32 [%p+" + std::to_string(4 * (63 - i)) + "], %x" + std::to_string(i) + ";\n";
    }
    const auto assembly = assemble(body + "ret;\n}\n", "sm_90a");
    ASSERT_TRUE(assembly);
    EXPECT_TRUE(assembly->spills()) << assembly->log;
    ASSERT_EQ(assembly->kernels.size(), 1u);
    EXPECT_GT(assembly->kernels[0].stack_bytes, 0) << assembly->log;
}

/** A program in the place of ptxas: prints `log`, writes four bytes of "code". */
class FakePtxas {
public:
    explicit FakePtxas(const std::string &log) : path(make(log)), environment("STROBE_PTXAS", path.c_str()) {
    }
    ~FakePtxas() {
        std::filesystem::remove_all(std::filesystem::path(path).parent_path());
    }

private:
    static std::string make(const std::string &log) {
        char folder[] = "/tmp/strobe-test-XXXXXX";
        const std::filesystem::path program = std::filesystem::path(mkdtemp(folder)) / "ptxas";
        std::ofstream(program) << "#!/bin/sh\ncat >&2 <<'END'\n" << log << "\nEND\nprintf code > \"$4\"\n";
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        return program;
    }
    std::string path;
    Environment environment;
};

TEST(Assemble, SeesSerializedWgmma) {
    const FakePtxas ptxas(
        "ptxas info    : 0 bytes gmem\n"
        "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to "
        "insufficient register resources for the wgmma pipeline in the function 'attend'\n"
        "ptxas info    : Compiling entry function 'attend' for 'sm_90a'\n"
        "ptxas info    : Function properties for attend\n"
        "    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 168 registers, used 9 barriers, 16 bytes cumulative stack size, 1024 bytes smem");
    const auto assembly = assemble(ptx, "sm_90a");
    ASSERT_TRUE(assembly);
    EXPECT_EQ(assembly->cubin, "code");
    EXPECT_TRUE(assembly->wgmma_serialized());
    ASSERT_EQ(assembly->warnings.size(), 1u) << assembly->log;
    ASSERT_EQ(assembly->kernels.size(), 1u) << assembly->log;
    const KernelStatistics &kernel = assembly->kernels[0];
    EXPECT_EQ(kernel.entry, "attend");
    EXPECT_EQ(kernel.registers, 168);
    EXPECT_EQ(kernel.barriers, 9);
    EXPECT_EQ(kernel.stack_bytes, 16);
    EXPECT_EQ(kernel.spill_store_bytes, 8);
    EXPECT_EQ(kernel.spill_load_bytes, 12);
    EXPECT_EQ(kernel.shared_bytes, 1024);
    EXPECT_TRUE(assembly->spills());
}

TEST(Assemble, LeavesNoFiles) {
    if (!have_ptxas()) {
        GTEST_SKIP() << "no ptxas";
    }
    char folder[] = "/tmp/strobe-test-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    {
        const Environment temporary("TMPDIR", folder);
        assemble(ptx, "sm_90a");
        EXPECT_THROW(assemble("nonsense", "sm_90a"), RuntimeFailure);
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::filesystem::remove_all(folder);
}

TEST(Assemble, DoesWithoutPtxas) {
    const Environment none("STROBE_PTXAS", "");
    EXPECT_FALSE(find_ptxas());
    EXPECT_FALSE(assemble(ptx, "sm_90a"));
}

template<typename Error, typename Body>
void expect_error(const Body &body, const std::vector<std::string> &texts) {
    try {
        body();
        ADD_FAILURE() << "nothing was thrown; expected an error with \"" << texts[0] << "\"";
    } catch (const Error &e) {
        for (const std::string &text : texts) {
            EXPECT_NE(std::string(e.what()).find(text), std::string::npos)
                << "got \"" << e.what() << "\", expected it to contain \"" << text << "\"";
        }
    }
}

TEST(BadAssemble, ShowsTheRefusedLine) {
    if (!have_ptxas()) {
        GTEST_SKIP() << "no ptxas";
    }
    expect_error<RuntimeFailure>(
        [] {
            assemble(".version 8.0\n.target sm_90a\n.address_size 64\n.entry f() {\nfrobnicate.f32 %x;\n}\n", "sm_90a");
        },
        {"refused the PTX for sm_90a", "frobnicate.f32 %x;"});
}

TEST(BadAssemble, RefusesWrongArchitecture) {
    for (const char *name : {"", "sm_", "sm_9", "sm_90b", "sm_90a -o /etc/passwd", "compute_90", "sm_90aa"}) {
        expect_error<UserError>([&] { assemble(ptx, name); },
                                {"no GPU architecture is named \"" + std::string(name) + "\"", "sm_90a"});
    }
}

TEST(BadAssemble, RefusesMissingProgram) {
    const Environment missing("STROBE_PTXAS", "/nonexistent/ptxas");
    expect_error<RuntimeFailure>([] { find_ptxas(); }, {"STROBE_PTXAS names /nonexistent/ptxas", "no program"});
}

TEST(BadAssemble, NamesAProgramThatFails) {
    const Environment broken("STROBE_PTXAS", "/bin/false");
    expect_error<RuntimeFailure>([] { assemble(ptx, "sm_90a"); }, {"/bin/false refused", "status 1"});
    const Environment silent("STROBE_PTXAS", "/bin/true");
    expect_error<RuntimeFailure>([] { assemble(ptx, "sm_90a"); }, {"/bin/true wrote no machine code"});
}

}  // namespace

}  // namespace strobe
