#include "Fixture.h"

#include <random>

#include "runtime/Describe.h"

namespace strobe {

namespace {

/** The sample with something in every field. */
KernelPackage full_package() {
    KernelPackage package = sample_package();
    package.name = "every field: \"quoted\" \\ \n\x01 tab\t";
    package.is_ptx = true;
    LaunchPlan plan = package.plans[0];
    plan.schedule.clear();
    plan.cost_per_unit = 0.37;
    plan.cost_per_step = 0.125;
    plan.steps = {{1, 1, 128}};
    plan.workspaces = {{{{0, 1, 64}, {-1, 0, 3}}, 8, false}, {{}, 4, true}};
    KernelSpec combine;
    combine.entry = "combine";
    combine.threads = 128;
    combine.work = {{4, 0, 1}};
    combine.params = {{ParamSpec::Kind::Workspace, 1, 0}, {ParamSpec::Kind::Min, 3, 2}};
    plan.kernels.push_back(combine);
    plan.counted_kernel = 0;
    package.plans.push_back(plan);
    return package;
}

TEST(Package, RoundTrips) {
    for (const KernelPackage &package : {sample_package(), full_package()}) {
        const std::vector<uint8_t> bytes = serialize_package(package);
        const KernelPackage again = parse_package(bytes.data(), bytes.size());
        EXPECT_EQ(serialize_package(again), bytes);
        EXPECT_EQ(describe_package(again), describe_package(package));
        EXPECT_EQ(again.code, package.code);
        EXPECT_EQ(again.plans.back().kernels.back().params.back().dim,
                  package.plans.back().kernels.back().params.back().dim);
    }
}

TEST(Package, ChecksumNamesTheContent) {
    const auto a = serialize_package(sample_package());
    KernelPackage other = sample_package();
    other.scalars[0].max = 2;
    const auto b = serialize_package(other);
    EXPECT_NE(stored_checksum(a.data(), a.size()), 0u);
    EXPECT_NE(stored_checksum(a.data(), a.size()), stored_checksum(b.data(), b.size()));
    EXPECT_EQ(stored_checksum(a.data(), 20), 0u);
}

TEST(Package, RefusesEveryTruncation) {
    const std::vector<uint8_t> bytes = serialize_package(full_package());
    for (size_t size = 0; size < bytes.size(); size++) {
        // A copy of its own, so that a sanitizer sees reads past the end.
        const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + long(size));
        EXPECT_THROW(parse_package(cut.data(), cut.size()), RuntimeFailure) << "cut to " << size << " bytes";
    }
    std::vector<uint8_t> longer = bytes;
    longer.push_back(0);
    EXPECT_THROW(parse_package(longer.data(), longer.size()), RuntimeFailure);
}

TEST(Package, RefusesEveryFlippedBit) {
    std::vector<uint8_t> bytes = serialize_package(full_package());
    for (size_t bit = 0; bit < bytes.size() * 8; bit++) {
        bytes[bit / 8] ^= uint8_t(1 << bit % 8);
        EXPECT_THROW(parse_package(bytes.data(), bytes.size()), RuntimeFailure) << "bit " << bit;
        bytes[bit / 8] ^= uint8_t(1 << bit % 8);
    }
}

/** Puts the right size and checksum on a damaged payload, so that the parser itself is tested. */
void repair_header(std::vector<uint8_t> &bytes) {
    const size_t header = 28;
    uint64_t size = bytes.size() - header, sum = 0xcbf29ce484222325u;
    for (size_t i = header; i < bytes.size(); i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    }
    memcpy(&bytes[12], &size, 8);
    memcpy(&bytes[20], &sum, 8);
}

TEST(Package, SurvivesDamageUnderARightChecksum) {
    const std::vector<uint8_t> good = serialize_package(full_package());
    const unsigned seed = 1;
    std::mt19937 random(seed);
    int parsed = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        std::vector<uint8_t> bytes = good;
        const int edits = 1 + int(random() % 4);
        for (int e = 0; e < edits; e++) {
            const size_t at = 28 + random() % (bytes.size() - 28);
            switch (random() % 4) {
            case 0:
                bytes[at] ^= uint8_t(1 << random() % 8);
                break;
            case 1:
                bytes[at] = uint8_t(random() % 2 ? 0xff : 0x7f);
                break;
            case 2:
                bytes.erase(bytes.begin() + long(at));
                break;
            default:
                bytes.insert(bytes.begin() + long(at), uint8_t(random()));
            }
        }
        repair_header(bytes);
        try {
            // What is accepted must be legal and say the same again.
            const KernelPackage package = parse_package(bytes.data(), bytes.size());
            EXPECT_EQ(serialize_package(package), bytes) << "seed " << seed << ", round " << round;
            describe_package(package);
            parsed++;
        } catch (const RuntimeFailure &) {
            refused++;
        }
    }
    EXPECT_GT(parsed, 1000);
    EXPECT_GT(refused, 1000);
}

TEST(Package, DescribesItself) {
    const std::string text = describe_package(full_package());
    for (const char *part :
         {R"("name": "every field: \"quoted\" \\ \n\u0001 tab\u0009")", R"("architecture": "sm_90a")",
          R"("code": "ptx")", R"({"name": "lse", "type": "fp32", "rank": 3, "output": true})",
          R"({"name": "window", "type": "int32", "min": 1, "max": 4096})",
          R"-("work": "ceil(query.extent(1) / 128) * query.extent(2) * query.extent(3)")-",
          R"({"elements": "ceil(query.extent(1) / 64) * 3", "element_bytes": 8, "zeroed": false})"}) {
        EXPECT_NE(text.find(part), std::string::npos) << "got " << text << "\nexpected it to contain " << part;
    }
}

}  // namespace

}  // namespace strobe
