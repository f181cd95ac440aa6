#include "Fixture.h"

namespace strobe {

namespace {

/** A launch of the sample after an edit of its arguments. */
class BadLaunch : public OnFakeCuda {
protected:
    using Tensors = std::vector<TensorArgument>;

    BadLaunch() : loaded(sample_package()) {
    }

    /** The edit must be refused with an error of this class and these texts; nothing may be launched. */
    template<typename Error = UserError, typename Edit>
    void expect_refused(const Edit &edit, const std::vector<std::string> &texts) {
        Tensors tensors = sample_tensors();
        std::vector<double> scalars = sample_scalars;
        LaunchOptions options;
        edit(tensors, scalars, options);
        expect_error<Error>([&] { launch(loaded, tensors, scalars, options); }, texts);
        EXPECT_EQ(fake.launch_count, 0);
    }

    LoadedPackage loaded;
};

#define EDIT [](Tensors & t, std::vector<double> & s, LaunchOptions & o)
#define USED (void)t, (void)s, (void)o

TEST_F(BadLaunch, Counts) {
    expect_refused(EDIT { USED, t.pop_back(); },
                   {"In sample", "got 4 tensors, expected 5 (query, key, value, out, lse)"});
    expect_refused(EDIT { USED, s.push_back(1); }, {"got 3 scalars, expected 2 (scale, window)"});
}

TEST_F(BadLaunch, Type) {
    expect_refused(EDIT { USED, t[1].type = {2, 16}; }, {"key must have elements of type bf16, got fp16"});
    expect_refused(EDIT { USED, t[4].type = {2, 64}; }, {"lse must have elements of type fp32, got fp64"});
    expect_refused(EDIT { USED, t[4].type = {9, 3}; }, {"lse", "got code 9, 3 bits"});
}

TEST_F(BadLaunch, Rank) {
    expect_refused(EDIT { USED, t[0].rank = 3; }, {"query must have 4 dimensions, got 3"});
    expect_refused(EDIT { USED, t[0].rank = 1000000; }, {"query must have 4 dimensions, got 1000000"});
    expect_refused(EDIT { USED, t[0].rank = -1; }, {"query must have 4 dimensions, got -1"});
}

TEST_F(BadLaunch, Extents) {
    expect_refused(EDIT { USED, t[1].sizes[1] = -3; }, {"dimension 1 of key has extent -3", "0 to 2147483647"});
    expect_refused(EDIT { USED, t[1].sizes[1] = int64_t(1) << 31; }, {"dimension 1 of key has extent 2147483648"});
}

TEST_F(BadLaunch, EqualExtents) {
    expect_refused(EDIT { USED, t[1].sizes[0] = 32; },
                   {"dimension 0 of query has extent 64, dimension 0 of key has extent 32; they must be equal"});
    expect_refused(EDIT { USED, t[3].sizes[1] = 999; },
                   {"dimension 1 of query has extent 1000", "dimension 1 of out has extent 999"});
}

/** A kernel for 64 features would leave the other 8 out, or read 32 that are not there. */
TEST_F(BadLaunch, FixedExtents) {
    expect_refused(EDIT { USED, t[0].sizes[0] = t[1].sizes[0] = 72; },
                   {"dimension 0 of query has extent 72; the kernels are compiled for 64. Compile the algorithm for"});
    expect_refused(EDIT { USED, t[2].sizes[0] = 32; },
                   {"dimension 0 of value has extent 32; the kernels are compiled for at least 64"});
    expect_refused(EDIT { USED, t[3].sizes[0] = 32; }, {"dimension 0 of out has extent 32; the kernels are compiled for 64"});
}

TEST_F(BadLaunch, Addresses) {
    expect_refused(EDIT { USED, t[4].address = 0; }, {"lse has elements but no device address"});
    expect_refused(EDIT { USED, t[4].address += 2; }, {"address of lse is not a multiple of its element's 4 bytes"});
}

TEST_F(BadLaunch, Offsets) {
    expect_refused(EDIT { USED, t[4].strides[2] = int64_t(1) << 62; }, {"lse spans more than 2^63 bytes"});
}

TEST_F(BadLaunch, OutputsThatOverlap) {
    expect_refused(EDIT { USED, t[3].strides[2] = 0; },
                   {"dimension 2 of the output out has stride 0", "4 results would share"});
}

TEST_F(BadLaunch, TensorMapAddress) {
    expect_refused(EDIT { USED, t[0].address += 8; }, {"address of query must be a multiple of 16 bytes"});
}

TEST_F(BadLaunch, TensorMapStrides) {
    expect_refused(EDIT { USED, t[1].strides[0] = 2; }, {"dimension 0 of key must have stride 1, got 2"});
    expect_refused(EDIT { USED, t[1].strides[1] = 65; },
                   {"dimension 1 of key has a stride of 130 bytes", "multiple of 16"});
    expect_refused(EDIT { USED, t[1].strides[2] = 0; },
                   {"dimension 2 of key has stride 0 over an extent of 4", "copy the tensor"});
    expect_refused(EDIT { USED, t[2].strides[2] = -64; }, {"dimension 2 of value has stride -64"});
    expect_refused(EDIT { USED, t[2].strides[3] = int64_t(1) << 40; }, {"dimension 3 of value", "below 2^40 bytes"});
}

TEST_F(BadLaunch, ForcedPlanThatCannotRead) {
    expect_refused(EDIT { USED, o.plan = 0, t[0].address += 8; }, {"address of query must be a multiple of 16"});
}

TEST_F(BadLaunch, Scalars) {
    expect_refused(EDIT { USED, s[1] = 0; }, {"window is 0; legal are values from 1 up to 4096"});
    expect_refused(EDIT { USED, s[1] = 5000; }, {"window is 5000; legal are values from 1 up to 4096"});
    expect_refused(EDIT { USED, s[1] = 1.5; }, {"window must be a whole number that int32 can hold, got 1.5"});
    expect_refused(EDIT { USED, s[1] = 3e9; }, {"window must be a whole number that int32 can hold"});
    expect_refused(EDIT { USED, s[1] = NAN; }, {"window must be a whole number", "nan"});
}

TEST_F(BadLaunch, OneSidedRange) {
    KernelPackage package = sample_package();
    package.scalars[0].has_min = true;
    LoadedPackage bounded(package);
    expect_error<UserError>(
        [&] {
            launch(bounded, sample_tensors(), {-1, 5});
        },
        {"scale is -1; legal are values from 0 upwards"});
    expect_error<UserError>([&] { launch(bounded, sample_tensors(), {NAN, 5}); }, {"scale is nan"});
}

TEST_F(BadLaunch, PlanIndex) {
    expect_refused(EDIT { USED, o.plan = 1; }, {"no plan 1", "-1 (choose) and 0 to 0"});
    expect_refused(EDIT { USED, o.plan = -2; }, {"no plan -2"});
}

TEST_F(BadLaunch, TooMuchWork) {
    KernelPackage package = sample_package();
    package.plans[0].kernels[0].persistent = false;
    package.plans[0].kernels[0].work = {{0, 1, 1}, {0, 2, 1}, {0, 3, 1}};
    LoadedPackage huge(package);
    auto tensors = sample_tensors(1 << 20, 1, 1 << 12, 1);
    expect_error<UserError>([&] { launch(huge, tensors); }, {"4294967296 units of work for attend", "2147483647"});
    for (TensorArgument &t : tensors) {
        for (int d = 1; d < t.rank; d++) {
            t.sizes[d] = 0x7fffffff;
            t.strides[d] = 16;
        }
    }
    tensors[4] = tensor(fp32, {10, 10, 10}, tensors[4].address);
    expect_error<UserError>([&] { launch(huge, tensors); }, {"the work of a kernel leaves 63 bits"});
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(BadLaunch, Workspace) {
    KernelPackage package = sample_package();
    package.plans[0].workspaces = {{{{0, 1, 1}}, 4, false}};
    LoadedPackage with(package);
    LaunchOptions options;
    options.workspace = 0x1000;
    options.workspace_bytes = 100;
    expect_error<UserError>([&] { launch(with, sample_tensors(), sample_scalars, options); },
                            {"hold 4096 bytes; got 100 bytes"});
    options.workspace = 0x1004;
    options.workspace_bytes = 1 << 20;
    expect_error<UserError>([&] { launch(with, sample_tensors(), sample_scalars, options); },
                            {"multiple of 256 bytes"});
}

TEST_F(BadLaunch, NoContext) {
    fake.has_context = false;
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"no current CUDA context", "select a device"});
}

TEST_F(BadLaunch, OtherArchitecture) {
    fake.capability_major = 8;
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"compiled for sm_90a, the current device is sm_80"});
    fake.capability_major = 10;
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"compiled for sm_90a, the current device is sm_100"});
}

TEST_F(BadLaunch, ArchitecturesThatRunElsewhere) {
    const struct {
        const char *name;
        bool ptx;
        int major, minor;
        bool runs;
    } cases[] = {{"sm_80", false, 8, 6, true},   {"sm_86", false, 8, 0, false},  {"sm_80", false, 9, 0, false},
                 {"sm_80", true, 9, 0, true},    {"sm_90", true, 8, 9, false},   {"sm_90a", true, 9, 0, true},
                 {"sm_90a", true, 10, 0, false}, {"sm_100f", true, 10, 3, true}, {"sm_100f", true, 12, 0, false},
                 {"sm_120", true, 12, 1, true}};
    for (const auto &c : cases) {
        KernelPackage package = sample_package();
        package.architecture = c.name;
        package.is_ptx = c.ptx;
        fake.capability_major = c.major;
        fake.capability_minor = c.minor;
        LoadedPackage loaded(package);
        bool ran = true;
        try {
            loaded.load();
        } catch (const RuntimeFailure &) {
            ran = false;
        }
        EXPECT_EQ(ran, c.runs) << c.name << (c.ptx ? " PTX" : " cubin") << " on " << c.major << "." << c.minor;
    }
    KernelPackage package = sample_package();
    package.architecture = "x86";
    LoadedPackage loaded(package);
    expect_error<RuntimeFailure>([&] { loaded.load(); }, {"\"x86\"", "form sm_90a"});
}

TEST_F(BadLaunch, CodeThatDoesNotAssemble) {
    fake.module_log = "ptxas application ptx input, line 12; fatal : Unresolved extern function 'foo'";
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"refused the machine code of sample", "JIT compilation failed",
                                                    "Unresolved extern function 'foo'"});
    fake.module_log.clear();
    Tensors tensors = sample_tensors();
    launch(loaded, tensors);  // a failure is not remembered
}

TEST_F(BadLaunch, MissingKernel) {
    fake.entries = {"other"};
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"code of sample has no kernel attend"});
    EXPECT_EQ(fake.modules, 0);
}

TEST_F(BadLaunch, TooMuchSharedMemory) {
    fake.max_shared = 101376;
    expect_refused<RuntimeFailure>(EDIT { USED; },
                                   {"attend", "200000 bytes of shared memory", "offers 101376", "invalid argument"});
}

TEST_F(BadLaunch, TooManyThreads) {
    fake.max_threads = 256;
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"attend", "launches 384 threads", "registers allow 256"});
}

TEST_F(BadLaunch, OutOfMemory) {
    fake.fail_with["cuMemAlloc_v2"] = 2;
    expect_refused<RuntimeFailure>(EDIT { USED; }, {"cannot allocate", "out of memory (CUDA_ERROR_OUT_OF_MEMORY, 2)"});
    EXPECT_EQ(fake.modules, 0);
}

TEST_F(BadLaunch, LaunchThatFails) {
    fake.fail_with["cuLaunchKernel"] = 719;
    Tensors tensors = sample_tensors();
    expect_error<RuntimeFailure>([&] { launch(loaded, tensors); },
                                 {"cannot launch attend of sample on 64 blocks of 384 threads", "719"});
}

TEST(BadDriver, Missing) {
    expect_error<RuntimeFailure>([] { cuda::open_driver("/nonexistent/libcuda.so.1"); },
                                 {"no CUDA driver on this machine", "/nonexistent/libcuda.so.1"});
    expect_error<RuntimeFailure>([] { cuda::open_driver("libm.so.6"); }, {"the CUDA driver libm.so.6 lacks cuInit"});
}

#undef EDIT
#undef USED

}  // namespace

}  // namespace strobe
