#include "HalideBuffers.h"
#include "runtime/HalideEntry.h"

namespace strobe {

namespace {

/** In a process without the Halide runtime, as where Halide compiles just in time. */
class HalideEntry : public OnFakeCuda {
protected:
    HalideEntry() {
        recorded_device() = {};
    }

    int run(HalideBuffers &buffers, const std::vector<double> &scalars = sample_scalars) {
        return strobe_halide_run_on(nullptr, recording_interface(), bytes.data(), int64_t(bytes.size()),
                                    buffers.pointers.data(), int(buffers.pointers.size()), scalars.data(),
                                    int(scalars.size()));
    }
    /** Runs, and returns what was printed. */
    std::string failure(HalideBuffers &buffers, int expected_code,
                        const std::vector<double> &scalars = sample_scalars) {
        testing::internal::CaptureStderr();
        EXPECT_EQ(run(buffers, scalars), expected_code);
        EXPECT_EQ(fake.launch_count, 0);
        return testing::internal::GetCapturedStderr();
    }

    // Packages stay loaded, by address: those of each test stay where they are for good.
    static std::vector<uint8_t> &kept(std::vector<uint8_t> made) {
        static auto &all = *new std::vector<std::unique_ptr<std::vector<uint8_t>>>;
        all.push_back(std::make_unique<std::vector<uint8_t>>(std::move(made)));
        return *all.back();
    }
    const std::vector<uint8_t> &bytes = kept(serialize_package(sample_package()));
};

TEST_F(HalideEntry, CopiesLaunchesAndMarks) {
    auto tensors = sample_tensors();
    tensors[3].mins[1] = 5;
    HalideBuffers buffers(tensors);
    fake.has_context = false;  // the context comes from the buffers' memory
    ASSERT_EQ(run(buffers), 0);
    EXPECT_EQ(recorded_device().calls,
              (std::vector<std::string>{"malloc", "copy", "malloc", "copy", "malloc", "copy", "malloc", "malloc"}));
    ASSERT_EQ(fake.launch_count, 1);
    EXPECT_EQ(fake.launches[0].stream, nullptr);
    EXPECT_NE(fake.launches[0].context, nullptr);
    EXPECT_EQ(fake.launches[0].param<uint64_t>(3), buffers.buffers[3].device);
    EXPECT_EQ(fake.launches[0].param<int64_t>(5), 64000);
    for (int i = 0; i < 5; i++) {
        EXPECT_EQ(buffers.buffers[i].device_dirty(), i >= 3) << i;
        EXPECT_FALSE(buffers.buffers[i].host_dirty()) << i;
    }
    ASSERT_EQ(run(buffers), 0);
    EXPECT_EQ(recorded_device().calls.size(), 8u) << "everything is on the device already";
    EXPECT_EQ(fake.modules, 1);
}

TEST_F(HalideEntry, EmptyBuffersStayOnTheHost) {
    HalideBuffers no_keys(sample_tensors(100, 0));
    ASSERT_EQ(run(no_keys), 0);
    EXPECT_EQ(fake.launch_count, 1);
    EXPECT_EQ(no_keys.buffers[1].device, 0u);
    HalideBuffers no_queries(sample_tensors(0, 100));
    ASSERT_EQ(run(no_queries), 0);
    EXPECT_EQ(fake.launch_count, 1);
}

TEST_F(HalideEntry, ReportsErrors) {
    HalideBuffers buffers(sample_tensors());
    EXPECT_EQ(failure(buffers, halide_error_code_generic_error, {0.125, 0}),
              "Strobe: In sample: window is 0; legal are values from 1 up to 4096.\n");
    buffers.pointers.pop_back();
    EXPECT_EQ(failure(buffers, halide_error_code_generic_error), "Strobe: In sample: got 4 buffers, expected 5.\n");
    buffers.pointers.push_back(nullptr);
    EXPECT_EQ(failure(buffers, halide_error_code_generic_error), "Strobe: lse is a null buffer\n");
    EXPECT_FALSE(buffers.buffers[3].device_dirty());
}

TEST_F(HalideEntry, PassesOnHalidesErrors) {
    HalideBuffers buffers(sample_tensors());
    recorded_device().fail_with = halide_error_code_copy_to_device_failed;
    EXPECT_EQ(failure(buffers, halide_error_code_copy_to_device_failed), "") << "Halide has reported it";
}

TEST_F(HalideEntry, RefusesDamagedPackages) {
    HalideBuffers buffers(sample_tensors());
    const std::vector<uint8_t> junk(200, 7);
    testing::internal::CaptureStderr();
    EXPECT_EQ(strobe_halide_run_on(nullptr, recording_interface(), junk.data(), 200, buffers.pointers.data(), 5,
                                   sample_scalars.data(), 2),
              halide_error_code_device_run_failed);
    EXPECT_EQ(strobe_halide_run(nullptr, bytes.data(), int64_t(bytes.size()), buffers.pointers.data(), 5,
                                sample_scalars.data(), 2),
              halide_error_code_device_run_failed);
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("not a kernel package"), std::string::npos) << text;
    EXPECT_NE(text.find("without Halide's CUDA runtime"), std::string::npos) << text;
}

TEST_F(HalideEntry, AnAddressMayHoldAnotherPackage) {
    std::vector<uint8_t> &changing = kept(bytes);
    HalideBuffers buffers(sample_tensors());
    const auto run_it = [&] {
        return strobe_halide_run_on(nullptr, recording_interface(), changing.data(), int64_t(changing.size()),
                                    buffers.pointers.data(), 5, sample_scalars.data(), 2);
    };
    ASSERT_EQ(run_it(), 0);
    KernelPackage other = sample_package();
    other.plans[0].kernels[0].threads = 256;
    const auto other_bytes = serialize_package(other);
    ASSERT_EQ(other_bytes.size(), changing.size());
    std::copy(other_bytes.begin(), other_bytes.end(), changing.begin());
    ASSERT_EQ(run_it(), 0);
    EXPECT_EQ(fake.launches[0].threads, 384u);
    EXPECT_EQ(fake.launches[1].threads, 256u);
}

}  // namespace

}  // namespace strobe
