#include "examples/picture.h"

#include <array>
#include <string_view>

namespace mesh::examples {
namespace {

// SplitMix64: the same numbers on every host, which std's distributions do not promise.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  // 0 … below-1.
  int roll(int below) {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    mixed ^= mixed >> 31;
    return static_cast<int>(mixed % static_cast<std::uint64_t>(below));
  }

 private:
  std::uint64_t state_;
};

constexpr int kWidth = 640;
constexpr int kHeight = 360;
constexpr int kStars = 90;
constexpr int kRidges = 3;

struct Palette {
  std::string_view name, sky_top, sky_bottom, moon, ridge;
};
constexpr std::array<Palette, 5> kPalettes{{
    {"Amber dusk", "#1b1b3a", "#d98324", "#ffe8b0", "#2b1a12"},
    {"Green hour", "#04202c", "#2e8b6f", "#e9fff4", "#06231c"},
    {"Violet night", "#120b2e", "#7b3fa0", "#fbe9ff", "#1a0d2b"},
    {"Blue dawn", "#0b1d3a", "#5fa8d3", "#fffbe6", "#0a1a2b"},
    {"Red evening", "#1f0a14", "#c8553d", "#ffe1d6", "#24090b"},
}};

std::string number(int value) { return std::to_string(value); }

std::string stars(Dice& dice) {
  std::string out;
  for (int i = 0; i < kStars; ++i) {
    out += "<circle cx=\"" + number(dice.roll(kWidth)) + "\" cy=\"" + number(dice.roll(kHeight * 2 / 3)) + "\" r=\"" +
           (dice.roll(6) == 0 ? "1.6" : "0.8") + "\" fill=\"#fff\" opacity=\"0." + number(3 + dice.roll(7)) + "\"/>";
  }
  return out;
}

// A line of hills from left to right, further down and darker with each.
std::string ridge(Dice& dice, int index, std::string_view colour) {
  const int base = kHeight * 6 / 10 + index * kHeight / 9;
  std::string out = "<path d=\"M0 " + number(kHeight);
  constexpr int kPeaks = 8;
  for (int i = 0; i <= kPeaks; ++i) {
    out += " L" + number(kWidth * i / kPeaks) + " " + number(base + dice.roll(kHeight / 6) - kHeight / 12);
  }
  out += " L" + number(kWidth) + " " + number(kHeight) + " Z\" fill=\"" + std::string(colour) + "\" opacity=\"0." +
         number(5 + 2 * index) + "\"/>";
  return out;
}

}  // namespace

Picture draw_picture(std::int64_t day) {
  Dice dice(static_cast<std::uint64_t>(day));
  const Palette& palette = kPalettes[static_cast<std::size_t>(dice.roll(static_cast<int>(kPalettes.size())))];
  const std::string size = "width=\"" + number(kWidth) + "\" height=\"" + number(kHeight) + "\"";

  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(kWidth) + " " +
                    number(kHeight) + "\" " + size + "><defs><linearGradient id=\"sky\" x2=\"0\" y2=\"1\">";
  svg += "<stop stop-color=\"" + std::string(palette.sky_top) + "\"/><stop offset=\"1\" stop-color=\"" +
         std::string(palette.sky_bottom) + "\"/></linearGradient></defs><rect " + size + " fill=\"url(#sky)\"/>";
  svg += stars(dice);
  svg += "<circle cx=\"" + number(80 + dice.roll(kWidth - 160)) + "\" cy=\"" + number(50 + dice.roll(90)) + "\" r=\"" +
         number(18 + dice.roll(26)) + "\" fill=\"" + std::string(palette.moon) + "\"/>";
  for (int i = 0; i < kRidges; ++i) svg += ridge(dice, i, palette.ridge);
  svg += "</svg>";

  return {std::string(palette.name) + ", no. " + std::to_string(day % 1000), svg};
}

}  // namespace mesh::examples
