#include "Execute.h"
#include "PackText.h"
#include "Progress.h"
#include "TileMapSvg.h"
#include "driver/Compile.h"
#include "support/Error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

namespace strobe {

using namespace Halide;

namespace {

/** One random vector for each byte and head. */
class Embedding {
    int features;
    std::vector<float> table;

public:
    Embedding(int features, int heads, uint32_t seed)
        : features(features), table(static_cast<size_t>(features) * heads * 256) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        for (float &x : table) {
            x = normal(random);
        }
    }
    float at(int head, uint8_t byte, int feature) const {
        return table[(static_cast<size_t>(head) * 256 + byte) * features + feature];
    }
};

/** q, k and v from the text's bytes; buffers of integers get the documents' numbers. */
void embed(Instance &instance, const PackedText &text) {
    for (const Parameter &p : instance.inputs) {
        if (!p.is_buffer()) {
            continue;
        }
        Buffer<> buffer = p.buffer();
        if (p.type().is_int()) {
            fill(buffer, [&](int64_t n) { return text.document[n % buffer.dim(0).extent()]; });
            continue;
        }
        if (buffer.dimensions() != 4) {
            continue;
        }
        const int features = buffer.dim(0).extent(), length = buffer.dim(1).extent(), heads = buffer.dim(2).extent();
        // Keys resemble the queries of the same byte, so that bytes attend to their like.
        const Embedding own(features, heads, p.name() == "v" ? 1 : 0);
        const Embedding other(features, heads, 2);
        const float mix = p.name() == "k" ? 0.5f : 0.0f;
        fill(buffer, [&](int64_t n) {
            const int d = static_cast<int>(n % features), h = static_cast<int>(n / features / length % heads);
            const uint8_t byte = text.bytes[n / features % length];
            return (1 - mix) * own.at(h, byte, d) + mix * other.at(h, byte, d);
        });
    }
}

/** The verdicts for the first head of the first sequence. */
TileMap map_of(Instance &instance, const Request &request) {
    TileArguments arguments;
    for (const Parameter &p : instance.inputs) {
        if (p.is_buffer()) {
            arguments.buffers[p.name()] = p.buffer();
        } else {
            arguments.scalars[p.name()] =
                p.type().is_float() ? static_cast<double>(p.scalar<float>()) : p.scalar<int32_t>();
        }
    }
    const TileProgram program = compile(instance.outputs, parse_target(request.target)).program;
    const std::vector<Buffer<>> outputs = make_outputs(instance, instance.outputs, request.problem);
    for (size_t n = 0; n < outputs.size(); n++) {
        arguments.buffers[program.outputs[n].name] = outputs[n];
    }
    return tile_map(program, 0, arguments);
}

void write_file(const std::string &path, const std::string &text) {
    std::ofstream file(path);
    file << text;
    if (!file) {
        strobe_runtime_failure() << "can't write " << path;
    }
}

const char *const gpu_target = "cuda-sm_90a";

/** A tour of masks and scores, not of everything: each takes seconds on two cores. */
const char *const shown[] = {"alibi",     "causal",         "document_mask", "full",
                             "prefix_lm", "sliding_window", "softcap"};

struct Row {
    Result plain, ours;
    TileMap map;
    double error = 0;
};

Row demonstrate(const std::string &name, const Request &request, const std::map<std::string, std::string> &params,
                const PackedText &text, Progress &progress) {
    auto instance = [&] {
        Instance built = prepare(name, params, request);
        embed(built, text);
        return built;
    };
    Row row;
    progress.step(name + ": unscheduled");
    row.plain = run_unscheduled(request, instance());
    progress.step(name + ": deriving, compiling and running");
    row.ours = run_scheduled(request, instance(), 0.3);
    for (size_t n = 0; n < row.ours.outputs.size(); n++) {
        row.error = std::max(row.error, difference(row.ours.outputs[n], row.plain.outputs[n]).largest);
    }
    Instance again = instance();
    row.map = map_of(again, request);
    progress.clear();
    return row;
}

/** On the GPU in bf16, by the rule of `strobe check`. */
bool demonstrate_on_gpu(const std::string &name, Request request, std::map<std::string, std::string> params,
                        const PackedText &text, Progress &progress) {
    params["dtype"] = "bf16";
    auto instance = [&] {
        Instance built = prepare(name, params, request);
        embed(built, text);
        return built;
    };
    progress.step(name + ": references in bf16 and float64");
    const Result plain = run_unscheduled(request, instance()), exact = run_float64(request, instance());
    progress.step(name + ": on the GPU");
    request.target = gpu_target;
    const Result ours = run_scheduled(request, instance(), 0.1);
    const Result unfused = run_unfused(request, instance(), ours.program);
    progress.clear();
    double worst = 0;
    bool ok = true;
    for (size_t n = 0; n < ours.outputs.size(); n++) {
        ok = ok && judge(ours.outputs[n], unfused.outputs[n], exact.outputs[n]).ok();
        worst = std::max(worst, difference(ours.outputs[n], plain.outputs[n]).largest);
    }
    std::printf("%-16s %12s %10s %10s %8.1fx   %-22s %.1e  %s\n", "  GPU, bf16", duration(plain.seconds).c_str(),
                duration(ours.compile_seconds).c_str(), duration(ours.seconds).c_str(), plain.seconds / ours.seconds,
                "", worst, ok ? "ok" : "WRONG");
    return ok;
}

}  // namespace

int demo_command(const DemoRequest &demo) {
    // The unscheduled sums add one by one in float32 and may lose half an ulp each time.
    const double tolerance = 1e-5 + std::ldexp(demo.length, -23);
    const PackedText text = demo.folder.empty() ? pack_default_text(demo.length) : pack_text(demo.folder, demo.length);
    std::printf("%zu documents from %s, packed into one sequence of %zu bytes; %d heads of %d, float32\n\n",
                text.names.size(), text.folder.c_str(), text.bytes.size(), demo.heads, demo.head_dim);

    Request request;
    request.problem.heads = request.problem.kv_heads = demo.heads;
    request.problem.queries = request.problem.keys = demo.length;
    const std::map<std::string, std::string> params = {{"dtype", "fp32"}, {"head_dim", std::to_string(demo.head_dim)}};
    std::filesystem::create_directories(demo.output);

    const std::string no_gpu = missing_gpu();
    if (!no_gpu.empty()) {
        std::printf("On the CPU only: %s\n\n", no_gpu.c_str());
    }

    Progress progress;
    int failures = 0;
    std::printf("%-16s %12s %10s %10s %9s   %-22s %s\n", "", "unscheduled", "compiling", "Strobe", "speed-up",
                "tiles full+part/all", "largest error");
    for (const std::string name : shown) {
        const Row row = demonstrate(name, request, params, text, progress);
        const bool ok = row.error <= tolerance;
        failures += !ok;
        const int full = row.map.count(TileVerdict::Full), partial = row.map.count(TileVerdict::Partial);
        char tiles[48];
        std::snprintf(tiles, sizeof tiles, "%d+%d/%d", full, partial,
                      full + partial + row.map.count(TileVerdict::Dead));
        std::printf("%-16s %12s %10s %10s %8.1fx   %-22s %.1e  %s\n", name.c_str(), duration(row.plain.seconds).c_str(),
                    duration(row.ours.compile_seconds).c_str(), duration(row.ours.seconds).c_str(),
                    row.plain.seconds / row.ours.seconds, tiles, row.error, ok ? "ok" : "WRONG");
        if (no_gpu.empty()) {
            failures += !demonstrate_on_gpu(name, request, params, text, progress);
        }
        std::fflush(stdout);
        write_file(demo.output + "/" + name + ".svg", tile_map_svg(row.map, name));
    }
    std::printf("\nPictures of the derived tiles: %s/*.svg\n", demo.output.c_str());
    if (failures) {
        std::printf("%d results differ from the unscheduled algorithm by more than rounding explains\n", failures);
    }
    return failures ? 1 : 0;
}

}  // namespace strobe
