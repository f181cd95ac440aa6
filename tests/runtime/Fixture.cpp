#include "Fixture.h"

#include <cstdlib>
#include <dlfcn.h>

FakeCuda &fake_cuda() {
    // The library stays open, and the runtime opens the same one.
    static auto *found = [] {
        setenv("STROBE_LIBCUDA", STROBE_FAKE_CUDA, 1);
        void *library = dlopen(STROBE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            abort();
        }
        return library;
    }();
    return *reinterpret_cast<FakeCuda *(*)()>(dlsym(found, "fake_cuda_state"))();
}

namespace strobe {

KernelPackage sample_package() {
    KernelPackage package;
    package.name = "sample";
    package.architecture = "sm_90a";
    package.code = std::string("\x7f"
                               "ELF\0code",
                               9);
    package.buffers = {{"query", bf16, 4, false},
                       {"key", bf16, 4, false},
                       {"value", bf16, 4, false},
                       {"out", bf16, 4, true},
                       {"lse", fp32, 3, true}};
    package.scalars = {{"scale", fp32, false, false, 0, 0}, {"window", int32, true, true, 1, 4096}};
    package.equal_extents = {{0, 0, 1, 0}, {1, 1, 2, 1}, {0, 1, 3, 1}, {0, 3, 1, 3}};
    package.fixed_extents = {{0, 0, 64, false}, {2, 0, 64, true}, {3, 0, 64, false}};
    LaunchPlan plan;
    plan.schedule = "out.tile(q, 128)\nout.stream(k, 128)";
    plan.query_tile = 128;
    plan.tensor_maps = {{0, {64, 128, 1, 1}, 128}, {1, {64, 128, 1, 1}, 128}, {2, {64, 128, 1, 1}, 128}};
    KernelSpec kernel;
    kernel.entry = "attend";
    kernel.threads = 384;
    kernel.shared_bytes = 200000;
    kernel.persistent = true;
    kernel.work = {{0, 1, 128}, {0, 2, 1}, {0, 3, 1}};
    using Kind = ParamSpec::Kind;
    kernel.params = {{Kind::TensorMap, 0, 0}, {Kind::TensorMap, 1, 0}, {Kind::TensorMap, 2, 0},
                     {Kind::Pointer, 3, 0},   {Kind::Extent, 0, 1},    {Kind::Stride, 3, 2},
                     {Kind::Scalar, 0, 0},    {Kind::Scalar, 1, 0},    {Kind::GridSize, 0, 0}};
    plan.kernels = {kernel};
    package.plans = {plan};
    return package;
}

TensorArgument tensor(ElementType type, std::vector<int64_t> sizes, uint64_t address) {
    TensorArgument made;
    made.address = address;
    made.type = type;
    made.rank = int32_t(sizes.size());
    int64_t stride = 1;
    for (size_t d = 0; d < sizes.size(); d++) {
        made.sizes[d] = sizes[d];
        made.strides[d] = stride;
        stride *= sizes[d];
    }
    return made;
}

namespace {

uint64_t base = 0;

}  // namespace

std::vector<TensorArgument> sample_tensors(int queries, int keys, int heads, int batch) {
    return {tensor(bf16, {64, queries, heads, batch}, base + 0x10000000),
            tensor(bf16, {64, keys, heads, batch}, base + 0x20000000),
            tensor(bf16, {64, keys, heads, batch}, base + 0x30000000),
            tensor(bf16, {64, queries, heads, batch}, base + 0x40000000),
            tensor(fp32, {queries, heads, batch}, base + 0x50000000)};
}

OnFakeCuda::OnFakeCuda() : fake(fake_cuda()) {
    void *library = dlopen(STROBE_FAKE_CUDA, RTLD_NOW | RTLD_LOCAL);
    reinterpret_cast<void (*)()>(dlsym(library, "fake_cuda_reset"))();
    base += 0x100000000;
    fake.entries = {"attend", "summarise", "combine"};
    fake.param_sizes["attend"] = {128, 128, 128, 8, 4, 8, 4, 4, 4};
}

OnFakeCuda::~OnFakeCuda() {
    EXPECT_EQ(fake.violation, "") << "the driver would not have done this";
}

int OnFakeCuda::launch(LoadedPackage &loaded, const std::vector<TensorArgument> &tensors,
                       const std::vector<double> &scalars, const LaunchOptions &options, cuda::Stream stream) {
    return loaded.launch(tensors.data(), int(tensors.size()), scalars.data(), int(scalars.size()), stream, options);
}

}  // namespace strobe
