#include "Fixture.h"

namespace strobe {

namespace {

/** The sample after an edit, which must be refused with these texts. */
template<typename Edit>
void expect_refused(const Edit &edit, const std::vector<std::string> &texts) {
    KernelPackage package = sample_package();
    edit(package);
    expect_error<RuntimeFailure>([&] { validate_package(package); }, texts);
    expect_error<RuntimeFailure>([&] { serialize_package(package); }, texts);
    expect_error<RuntimeFailure>([&] { LoadedPackage loaded(package); }, texts);
}

TEST(BadPackage, NotAPackage) {
    const std::vector<uint8_t> zeros(100, 0);
    expect_error<RuntimeFailure>([&] { parse_package(zeros.data(), zeros.size()); },
                                 {"not a kernel package", "STROBEKP"});
    expect_error<RuntimeFailure>([&] { parse_package(zeros.data(), 3); }, {"not a kernel package", "3 bytes"});
    expect_error<RuntimeFailure>([&] { parse_package(nullptr, 100); }, {"not a kernel package"});
}

TEST(BadPackage, OtherVersion) {
    auto bytes = serialize_package(sample_package());
    bytes[8] = 9;
    expect_error<RuntimeFailure>([&] { parse_package(bytes.data(), bytes.size()); },
                                 {"format version 9", "reads version 5", "compile the algorithm again"});
}

TEST(BadPackage, Damaged) {
    auto bytes = serialize_package(sample_package());
    bytes[60] ^= 4;
    expect_error<RuntimeFailure>([&] { parse_package(bytes.data(), bytes.size()); }, {"checksum does not match"});
    bytes.resize(61);
    expect_error<RuntimeFailure>([&] { parse_package(bytes.data(), bytes.size()); }, {"cut short", "33 follow"});
}

TEST(BadPackage, Empty) {
    expect_refused([](auto &p) { p.code.clear(); }, {"sample", "no code"});
    expect_refused([](auto &p) { p.plans.clear(); }, {"0 plans", "1 to 256"});
    expect_refused([](auto &p) { p.plans[0].kernels.clear(); }, {"0 kernels", "1 to 16"});
}

TEST(BadPackage, Types) {
    expect_refused([](auto &p) { p.buffers[1].type = {4, 32}; }, {"key", "code 4 and 32 bits"});
    expect_refused([](auto &p) { p.scalars[0].type = {7, 32}; }, {"scale", "code 7"});
}

TEST(BadPackage, Names) {
    expect_refused([](auto &p) { p.buffers[1].name = "query"; }, {"two arguments are named query"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].entry = std::string("a\0b", 3); }, {"no legal name"});
}

TEST(BadPackage, Indexes) {
    expect_refused([](auto &p) { p.equal_extents[0].buffer_b = 5; }, {"equal extents", "buffer 5 of 5"});
    expect_refused([](auto &p) { p.equal_extents[0].dim_b = 4; }, {"dimension 4 of key", "has 4"});
    expect_refused([](auto &p) { p.fixed_extents[0].buffer = 5; }, {"fixed extent", "buffer 5 of 5"});
    expect_refused([](auto &p) { p.fixed_extents[0].dim = -1; }, {"fixed extent", "dimension -1 of query"});
    expect_refused([](auto &p) { p.fixed_extents[1].extent = -64; }, {"a fixed extent of value is -64"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].work[0].buffer = -2; }, {"work", "buffer -2"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].params[0].index = 3; }, {"attend", "tensor map 3 of 3"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].params[6].index = -1; }, {"attend", "scalar -1 of 2"});
    expect_refused(
        [](auto &p) {
            p.plans[0].kernels[0].params[3] = {ParamSpec::Kind::Workspace, 0, 0};
        },
        {"attend", "workspace 0 of 0"});
}

TEST(BadPackage, Numbers) {
    expect_refused([](auto &p) { p.plans[0].kernels[0].work[0].divisor = 0; }, {"work", "divisor 0"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].threads = 2048; }, {"attend", "2048 threads", "1 to 1024"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].shared_bytes = -1; }, {"attend", "shared memory"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].blocks_per_sm = 0; }, {"attend", "0 blocks a multiprocessor"});
    expect_refused([](auto &p) { p.plans[0].cost_per_unit = 0; }, {"costs 0 a unit", "positive"});
    expect_refused([](auto &p) { p.plans[0].cost_per_step = -1; }, {"costs -1 a step", "positive"});
    expect_refused([](auto &p) { p.plans[0].counted_kernel = 1; }, {"the units of kernel 1 of 1", "legal are -1"});
    expect_refused([](auto &p) { p.plans[0].steps = {{9, 0, 1}}; }, {"a plan's steps", "9"});
    expect_refused([](auto &p) { p.scalars[0].min = std::nan(""); }, {"scale", "not a number"});
    expect_refused([](auto &p) { p.plans[0].kernels[0].params.resize(129); }, {"129 parameters", "128"});
    expect_refused(
        [](auto &p) {
            auto &params = p.plans[0].kernels[0].params;
            params.resize(40, {ParamSpec::Kind::TensorMap, 0, 0});
        },
        {"attend", "bytes of parameters", "4096"});
}

TEST(BadPackage, TensorMaps) {
    expect_refused([](auto &p) { p.plans[0].tensor_maps[0].box = {64, 128}; }, {"tensor map of query", "box of 2"});
    expect_refused([](auto &p) { p.plans[0].tensor_maps[0].box[1] = 257; }, {"query", "257", "1 to 256"});
    expect_refused([](auto &p) { p.plans[0].tensor_maps[0].box[0] = 65; }, {"query", "130 bytes", "multiples of 16"});
    expect_refused([](auto &p) { p.plans[0].tensor_maps[0].box[0] = 128; }, {"query", "256 bytes", "swizzle of 128"});
    expect_refused([](auto &p) { p.plans[0].tensor_maps[0].swizzle_bytes = 100; },
                   {"swizzles 100", "0, 32, 64 and 128"});
    expect_refused(
        [](auto &p) {
            p.buffers[0].rank = 6;
            p.plans[0].tensor_maps[0].box = {64, 1, 1, 1, 1, 1};
        },
        {"1 to 5 dimensions", "query has 6"});
}

}  // namespace

}  // namespace strobe
