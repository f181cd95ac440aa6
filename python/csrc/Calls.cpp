#include "Calls.h"

#include "support/Error.h"

#include <torch/csrc/stable/accelerator.h>

#include <atomic>
#include <dlfcn.h>
#include <optional>

namespace strobe {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace {

Halide::Type type_of_scalar(ScalarType t) {
    switch (t) {
    case ScalarType::Float:
        return Halide::Float(32);
    case ScalarType::Double:
        return Halide::Float(64);
    case ScalarType::Half:
        return Halide::Float(16);
    case ScalarType::BFloat16:
        return Halide::BFloat(16);
    case ScalarType::Char:
        return Halide::Int(8);
    case ScalarType::Short:
        return Halide::Int(16);
    case ScalarType::Int:
        return Halide::Int(32);
    case ScalarType::Long:
        return Halide::Int(64);
    case ScalarType::Byte:
        return Halide::UInt(8);
    case ScalarType::Bool:
        return Halide::Bool();
    default:
        return Halide::Type();
    }
}

int32_t torch_dtype(const Halide::Type &t) {
    if (t == Halide::Float(64)) {
        return aoti_torch_dtype_float64();
    }
    if (t == Halide::Float(16)) {
        return aoti_torch_dtype_float16();
    }
    if (t == Halide::BFloat(16)) {
        return aoti_torch_dtype_bfloat16();
    }
    if (t.is_int()) {
        return t.bits() == 8    ? aoti_torch_dtype_int8()
               : t.bits() == 16 ? aoti_torch_dtype_int16()
               : t.bits() == 32 ? aoti_torch_dtype_int32()
                                : aoti_torch_dtype_int64();
    }
    strobe_user_assert(t == Halide::Float(32) || t == Halide::UInt(8)) << "torch has no element type for " << t;
    return t.is_float() ? aoti_torch_dtype_float32() : aoti_torch_dtype_uint8();
}

Tensor allocate(const Halide::Type &type, const std::vector<int64_t> &shape, const Tensor &like) {
    int64_t strides[16], stride = 1;
    strobe_internal_assert(shape.size() <= 16);
    for (size_t d = shape.size(); d-- > 0;) {
        strides[d] = stride;
        stride *= std::max<int64_t>(shape[d], 1);
    }
    AtenTensorHandle handle = nullptr;
    const int32_t device = like.is_cuda() ? aoti_torch_device_type_cuda() : aoti_torch_device_type_cpu();
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(int64_t(shape.size()), shape.data(), strides,
                                                           torch_dtype(type), device, like.get_device_index(), &handle));
    return Tensor(handle);
}

HostTensor host_tensor(const View &v) {
    HostTensor t;
    t.data = v.tensor->data_ptr();
    t.rank = int(v.shape.rank);
    for (int d = 0; d < t.rank; d++) {
        t.sizes[d] = v.size(d);
        t.strides[d] = v.stride(d);
    }
    return t;
}

/** Halide's threads are as many as torch's. */
void follow_thread_count() {
    static std::atomic<uint32_t> known{0};
    uint32_t count = 0;
    if (torch_get_num_threads(&count) == 0 && count > 0 && known.exchange(count) != count) {
        Halide::Internal::JITSharedRuntime::set_num_threads(int(count));
    }
}

TensorArgument device_tensor(const View &v, const Halide::Type &type) {
    TensorArgument a;
    a.address = reinterpret_cast<uint64_t>(v.tensor->data_ptr());
    const Halide::Type stored = type.is_bool() ? Halide::UInt(8) : type;
    a.type = {uint8_t(stored.code()), uint8_t(stored.bits())};
    a.rank = int32_t(v.shape.rank);
    for (int32_t d = 0; d < a.rank; d++) {
        a.sizes[d] = v.size(d);
        a.strides[d] = v.stride(d);
    }
    return a;
}

/** LibTorch's CUDA half is not there in CPU builds, so it is asked for at run time. */
cuda::Stream current_stream(int32_t device) {
    using Get = AOTITorchError (*)(int32_t, void **);
    static const Get get = [] {
        void *library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
        return library ? reinterpret_cast<Get>(dlsym(library, "aoti_torch_get_current_cuda_stream")) : nullptr;
    }();
    void *stream = nullptr;
    if (!get || get(device, &stream) != 0) {
        strobe_runtime_failure() << "this torch has no CUDA streams";
    }
    return static_cast<cuda::Stream>(stream);
}

}  // namespace

Halide::Type type_of(const Tensor &tensor) {
    return type_of_scalar(tensor.scalar_type());
}

View::View(const Tensor &t)
    : tensor(&t) {
    static const int64_t one = 1;
    int64_t *sizes = nullptr, *steps = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(t.get(), &sizes));
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(t.get(), &steps));
    const int64_t rank = t.dim();
    shape = rank ? ShapeView{sizes, rank} : ShapeView{&one, 1};
    strides = rank ? steps : &one;
}

Call::Call(const std::vector<Tensor> &t, const std::vector<double> &s)
    : tensors(t), scalars(s) {
    strobe_user_assert(!t.empty()) << "there are no tensors";
    views.reserve(t.size());
    shapes.reserve(t.size());
    for (const Tensor &tensor : t) {
        views.emplace_back(tensor);
        shapes.push_back(views.back().shape);
    }
}

std::vector<std::vector<int64_t>> Call::input_sizes() const {
    std::vector<std::vector<int64_t>> result;
    for (const ShapeView &s : shapes) {
        result.emplace_back(std::make_reverse_iterator(s.sizes + s.rank), std::make_reverse_iterator(s.sizes));
    }
    return result;
}

bool Call::fits(const Program &program) {
    const TextAlgorithm &a = program.algorithm();
    if (!program.sizes().match(shapes, scalars, sizes)) {
        return false;
    }
    const bool cuda = tensors[0].is_cuda();
    const int32_t device = tensors[0].get_device_index();
    for (size_t n = 0; n < tensors.size(); n++) {
        const Tensor &t = tensors[n];
        if (type_of(t) != a.tensors[n].type || t.is_cuda() != cuda ||
            t.get_device_index() != device) {
            return false;
        }
    }
    return true;
}

void Call::refuse(const TextAlgorithm &a) const {
    for (size_t n = 0; n < std::min(tensors.size(), a.tensors.size()); n++) {
        const Tensor &t = tensors[n];
        const Halide::Type type = type_of(t);
        if (type != a.tensors[n].type) {
            strobe_user_error() << "In " << a.name << ": " << a.tensors[n].name << " must have elements of type "
                                << a.tensors[n].type << ", got " << type;
        }
        if (t.is_cuda() != tensors[0].is_cuda() || t.get_device_index() != tensors[0].get_device_index()) {
            strobe_user_error() << "In " << a.name << ": " << a.tensors[n].name << " is on another device than "
                                << a.tensors[0].name;
        }
    }
    output_sizes(a, input_sizes());
    check_scalar_values(a, scalars);
    throw InternalError("a call of " + a.name + " was refused without a reason");
}

/** The outputs; none of them has elements if `empty`. */
std::vector<Tensor> Call::allocate_outputs(const TextAlgorithm &a, bool &empty) const {
    std::vector<Tensor> outputs;
    outputs.reserve(sizes.size());
    empty = true;
    for (size_t n = 0; n < sizes.size(); n++) {
        outputs.push_back(allocate(a.outputs[n].type, sizes[n], tensors[0]));
        empty = empty && outputs.back().numel() == 0;
    }
    return outputs;
}

std::vector<Tensor> Call::run_on_host(Program &program) const {
    const CpuProgram &code = program.on_host();
    bool empty = false;
    std::vector<Tensor> outputs = allocate_outputs(program.algorithm(), empty);
    if (!empty) {
        std::vector<HostTensor> in, out;
        in.reserve(views.size());
        out.reserve(outputs.size());
        for (const View &v : views) {
            in.push_back(host_tensor(v));
        }
        for (const Tensor &t : outputs) {
            out.push_back(host_tensor(View(t)));
        }
        follow_thread_count();
        code.run(in, scalars, out);
    }
    return outputs;
}

std::vector<Tensor> Call::run_on_device(Program &program) const {
    const int32_t device = tensors[0].get_device_index();
    std::optional<torch::stable::accelerator::DeviceGuard> guard;
    if (!is_device_current(device)) {  // the guard takes longer than the question
        guard.emplace(device);
        make_context_current(device);
    }
    CudaProgram &code = program.on_device(device);
    const TextAlgorithm &a = program.algorithm();
    bool empty = false;
    std::vector<Tensor> outputs = allocate_outputs(a, empty);
    if (!empty) {
        std::vector<TensorArgument> in, out;
        in.reserve(views.size());
        out.reserve(outputs.size());
        for (size_t n = 0; n < views.size(); n++) {
            in.push_back(device_tensor(views[n], a.tensors[n].type));
        }
        for (size_t n = 0; n < outputs.size(); n++) {
            out.push_back(device_tensor(View(outputs[n]), a.outputs[n].type));
        }
        code.launch(in, scalars, out, current_stream(device));
    }
    return outputs;
}

std::vector<Tensor> Call::run(Program &program) const {
    return tensors[0].is_cuda() ? run_on_device(program) : run_on_host(program);
}

}  // namespace strobe
