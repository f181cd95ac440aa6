#include "Fixture.h"
#include "strobe/runtime.h"

namespace strobe {

namespace {

std::vector<strobe_tensor> c_tensors(const std::vector<TensorArgument> &tensors) {
    std::vector<strobe_tensor> made;
    for (const TensorArgument &from : tensors) {
        strobe_tensor to = {};
        to.data = reinterpret_cast<void *>(from.address);
        to.rank = from.rank;
        to.type_code = from.type.code;
        to.type_bits = from.type.bits;
        std::copy(from.sizes, from.sizes + max_rank, to.sizes);
        std::copy(from.strides, from.strides + max_rank, to.strides);
        made.push_back(to);
    }
    return made;
}

class CInterface : public OnFakeCuda {
protected:
    CInterface() {
        const std::vector<uint8_t> bytes = serialize_package(sample_package());
        package = strobe_package_open(bytes.data(), bytes.size());
    }
    ~CInterface() override {
        strobe_package_close(package);
        EXPECT_EQ(fake.modules, 0);
    }
    strobe_package *package;
};

TEST_F(CInterface, Launches) {
    ASSERT_NE(package, nullptr) << strobe_last_error();
    const auto tensors = c_tensors(sample_tensors());
    EXPECT_EQ(strobe_package_load(package), strobe_success);
    ASSERT_EQ(strobe_launch(package, tensors.data(), 5, sample_scalars.data(), 2, sample_stream, -1), strobe_success)
        << strobe_last_error();
    EXPECT_EQ(fake.launches.at(0).stream, sample_stream);
    EXPECT_EQ(fake.launches.at(0).param<int32_t>(4), 1000);
    EXPECT_EQ(strobe_workspace_bytes(package, tensors.data(), 5, -1), 0);
}

TEST_F(CInterface, Describes) {
    const char *text = strobe_package_describe(package);
    ASSERT_NE(text, nullptr);
    EXPECT_NE(std::string(text).find("\"name\": \"sample\""), std::string::npos) << text;
}

TEST_F(CInterface, ReportsErrors) {
    const auto tensors = c_tensors(sample_tensors());
    const double bad[] = {1, 0};
    EXPECT_EQ(strobe_launch(package, tensors.data(), 5, bad, 2, nullptr, -1), strobe_error_argument);
    EXPECT_STREQ(strobe_last_error(), "In sample: window is 0; legal are values from 1 up to 4096.");
    EXPECT_EQ(strobe_launch(package, nullptr, 5, bad, 2, nullptr, -1), strobe_error_argument);
    EXPECT_STREQ(strobe_last_error(), "In sample: got 5 tensors at a null pointer, expected 5.");
    EXPECT_EQ(strobe_launch(package, tensors.data(), 100000, bad, 2, nullptr, -1), strobe_error_argument);
    EXPECT_EQ(strobe_launch(package, tensors.data(), -1, bad, 2, nullptr, -1), strobe_error_argument);
    EXPECT_EQ(strobe_launch(package, tensors.data(), 5, nullptr, 2, nullptr, -1), strobe_error_argument);
    EXPECT_STREQ(strobe_last_error(), "the array of scalars is a null pointer");
    EXPECT_EQ(strobe_launch(nullptr, tensors.data(), 5, bad, 2, nullptr, -1), strobe_error_argument);
    EXPECT_STREQ(strobe_last_error(), "the package is a null pointer");
    EXPECT_EQ(strobe_workspace_bytes(package, tensors.data(), 4, -1), -1);
    EXPECT_EQ(strobe_workspace_bytes(package, tensors.data(), 5, 3), -1);
    EXPECT_EQ(strobe_package_describe(nullptr), nullptr);
    fake.has_context = false;
    EXPECT_EQ(strobe_launch(package, tensors.data(), 5, sample_scalars.data(), 2, nullptr, -1), strobe_error_runtime);
    EXPECT_NE(std::string(strobe_last_error()).find("no current CUDA context"), std::string::npos);
    EXPECT_EQ(fake.launch_count, 0);
}

TEST_F(CInterface, RefusesDamagedPackages) {
    EXPECT_EQ(strobe_package_open(nullptr, 10), nullptr);
    EXPECT_EQ(strobe_package_open(reinterpret_cast<const uint8_t *>("short"), 5), nullptr);
    EXPECT_NE(std::string(strobe_last_error()).find("not a kernel package"), std::string::npos);
    strobe_package_close(nullptr);
}

}  // namespace

}  // namespace strobe
