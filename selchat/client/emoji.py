"""The `:emoji:` that Tab completes: the short names that chats have in common."""

from __future__ import annotations

from typing import Final

_TEXT = """
+1 👍 -1 👎 100 💯 angry 😠 apple 🍎 art 🎨 balloon 🎈 beer 🍺 beers 🍻 bell 🔔 bike 🚲 blush 😊
bomb 💣 books 📚 boom 💥 broken_heart 💔 bug 🐛 bulb 💡 cake 🍰 calendar 📅 cat 🐱 check ✅ clap 👏
clock 🕒 cloud ☁️ coffee ☕ computer 💻 confused 😕 construction 🚧 cookie 🍪 cool 😎 cry 😢
dancer 💃 dizzy 💫 dog 🐶 door 🚪 email 📧 exclamation ❗ eyes 👀 facepalm 🤦 fire 🔥 fish 🐟
fist ✊ flag 🚩 flushed 😳 frowning ☹️ gear ⚙️ ghost 👻 gift 🎁 globe 🌍 green_heart 💚 grin 😁
hammer 🔨 handshake 🤝 heart ❤️ heart_eyes 😍 hourglass ⏳ house 🏠 hug 🤗 hundred 💯 inbox 📥
joy 😂 key 🔑 kiss 😘 laughing 😆 leaf 🍃 link 🔗 lock 🔒 mag 🔍 mail 📫 map 🗺️ memo 📝 moon 🌙
muscle 💪 music 🎵 neutral 😐 no 🚫 ok 🆗 ok_hand 👌 open_mouth 😮 owl 🦉 package 📦 palm_tree 🌴
party 🥳 pencil ✏️ penguin 🐧 phone 📞 pin 📌 pizza 🍕 plus ➕ point_down 👇 point_left 👈
point_right 👉 point_up 👆 poop 💩 pray 🙏 pushpin 📌 question ❓ rage 😡 rainbow 🌈 raised_hand ✋
recycle ♻️ relieved 😌 robot 🤖 rocket 🚀 rofl 🤣 rose 🌹 scream 😱 see_no_evil 🙈 shield 🛡️
ship 🚢 shrug 🤷 skull 💀 sleeping 😴 slightly_smiling 🙂 smile 😄 smiley 😃 smirk 😏 snake 🐍
snowflake ❄️ sob 😭 sparkles ✨ star ⭐ stop 🛑 sun ☀️ sunglasses 😎 sweat 😓 sweat_smile 😅 tada 🎉
tea 🍵 thinking 🤔 thumbsdown 👎 thumbsup 👍 tongue 😛 tools 🛠️ tree 🌳 trophy 🏆 turtle 🐢
umbrella ☔ unlock 🔓 upside_down 🙃 v ✌️ wave 👋 warning ⚠️ wine 🍷 wink 😉 worried 😟 wrench 🔧
x ❌ yum 😋 zap ⚡ zzz 💤
"""

_WORDS = _TEXT.split()

EMOJI: Final = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
"""From a name, without its colons, to the sign."""
